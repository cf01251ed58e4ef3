// The only script that stands in the page as it is: unpacks style and script of what only scripts show.

(() => {
  const root = document.documentElement;
  if (typeof DecompressionStream === "undefined") return; // then the page reads as it does without script
  try { root.dataset.theme = localStorage.getItem("trackrecord-theme") || "auto"; } catch { /* a file may have no memory */ }
  const bytes = Uint8Array.from(atob(document.getElementById("code").textContent), (c) => c.charCodeAt(0));
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json().then(([style, script]) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    document.adoptedStyleSheets = [sheet];
    root.classList.add("js");
    // The page's policy knows the script by its hash, and lets no other one in.
    const trusted = window.trustedTypes?.createPolicy("trackrecord", { createScript: (text) => text });
    const node = document.createElement("script");
    node.text = trusted ? trusted.createScript(script) : script;
    document.head.append(node);
  });
})();
