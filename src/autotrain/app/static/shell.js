// Theme and language.  Loaded before anything is painted.
(() => {
  // In another site's frame a browser may refuse the storage that NiceGUI keeps a tab's number in.
  try {
    sessionStorage.length;
  } catch (refused) {
    Object.defineProperty(window, "sessionStorage", { value: {}, configurable: true });
  }
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const { prefix = "", theme: said = "" } = document.currentScript.dataset;
  let chosen = said;
  const paint = () => {
    root.dataset.theme = chosen || (system.matches ? "dark" : "light");
  };
  paint();
  system.addEventListener("change", paint);

  const send = (method, path, content) =>
    fetch(`${prefix}/api/${path}`, {
      method,
      headers: { "Content-Type": "application/json" },
      body: content && JSON.stringify(content),
    });
  const prefer = async (choice) => {
    const answer = await send("POST", "preferences", choice);
    if (!answer.ok) throw new Error(`preferences: ${answer.status}`);
  };
  // Who isn't signed in any more (the page was started with another password, or a Space anew) is led to the login.
  const watch = setInterval(() => {
    if (!window.socket) return;
    clearInterval(watch);
    window.socket.on("connect_error", async () => {
      const answer = await fetch(`${prefix}/api/version`).catch(() => null);
      if (answer?.status === 401) location.reload();
    });
  }, 500);

  window.autotrain = {
    language: (code) => prefer({ language: code }).then(() => location.reload()),
    // theme: light, dark, or "" to follow the system.
    theme(value) {
      chosen = value;
      paint();
      window.Quasar?.Dark.set(root.dataset.theme === "dark");
      return prefer({ theme: value });
    },
    async giveToken(event, field, problem) {
      event.preventDefault();
      const token = field.value;
      field.value = "";
      problem.textContent = "…";
      const answer = await send("PUT", "token", { token });
      if (answer.ok) return location.reload();
      const { detail } = await answer.json();
      problem.textContent = typeof detail === "string" ? detail : "422";
      field.focus();
    },
    forgetToken: () => send("DELETE", "token").then(() => location.reload()),
    toggleTheme: () => window.autotrain.theme(root.dataset.theme === "dark" ? "light" : "dark"),
  };
})();
