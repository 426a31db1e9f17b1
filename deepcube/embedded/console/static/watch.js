// Follows a deployment: brings its logs up to date, and loads the page again when its state has changed.

const ASK_EVERY_MS = 2000;
const GIVE_UP_AFTER = 10;

const state = document.getElementById("state");
const logs = document.getElementById("logs");

function show(news) {
  const panes = new Map([...logs.querySelectorAll("pre")].map((pane) => [pane.dataset.name, pane]));
  for (const { name, text } of news) {
    const pane = panes.get(name);
    if (!pane || pane.textContent === text) continue;
    const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
    pane.textContent = text;
    if (atEnd) pane.scrollTop = pane.scrollHeight;
  }
}

// What the person has typed or been answered must not be lost to a reload.
function mayReload() {
  const request = document.getElementById("request");
  return request.value === request.defaultValue && !location.pathname.endsWith("/predict");
}

async function follow() {
  for (let failures = 0; failures < GIVE_UP_AFTER; ) {
    await new Promise((resume) => setTimeout(resume, ASK_EVERY_MS));
    try {
      const answer = await fetch(state.dataset.source, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const news = await answer.json();
      failures = 0;
      show(news.logs);
      if (news.status !== state.dataset.status) {
        if (mayReload()) return location.reload();
        state.querySelector(".state").textContent = news.status;
      }
    } catch (error) {
      failures += 1;
      console.warn(error);
    }
  }
}

for (const pane of logs.querySelectorAll("pre")) pane.scrollTop = pane.scrollHeight;
follow();
