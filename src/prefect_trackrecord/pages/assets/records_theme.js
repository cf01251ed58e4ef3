// Dark and light: as the system has it, or as chosen here. `records_loader.js` sets it before anything is drawn.

const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];
const memory = {
  // A page opened from a file may have no storage; then the choice lasts as long as the page.
  get: () => { try { return localStorage.getItem("trackrecord-theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("trackrecord-theme", value); } catch { /* kept for now only */ } },
};

function setTheme(name) {
  const theme = THEMES.includes(name) ? name : "auto";
  root.dataset.theme = theme;
  const button = byId("theme");
  if (!button) return;
  const label = theme[0].toUpperCase() + theme.slice(1);
  byId("theme-name").textContent = label;
  button.setAttribute("aria-label", `Colour theme: ${label}`);
}
setTheme(memory.get());
