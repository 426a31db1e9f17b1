// Follows the logs of an execution: asks for what is new, appends it as text, and stops when the execution is over.

const ASK_EVERY_MS = 1000;
const KEEP_CHARACTERS = 1_000_000;
const GIVE_UP_AFTER = 10;

const logs = document.getElementById("logs");
const panes = new Map(["out", "err"].map((stream) => [stream, document.getElementById(stream)]));

function append(pane, text) {
  const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
  pane.append(text);
  if (pane.textContent.length > KEEP_CHARACTERS) {
    pane.textContent = pane.textContent.slice(-KEEP_CHARACTERS / 2);
  }
  if (atEnd) pane.scrollTop = pane.scrollHeight;
}

async function ask() {
  const query = new URLSearchParams();
  for (const [stream, pane] of panes) query.set(stream, pane.dataset.offset);
  const answer = await fetch(`${logs.dataset.source}?${query}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const news = await answer.json();
  for (const [stream, pane] of panes) {
    const { text, offset } = news.logs[stream];
    if (text) append(pane, text);
    pane.dataset.offset = offset;
  }
  return news;
}

function say(state) {
  const label = document.querySelector("#state .state");
  if (label.textContent !== state) label.textContent = state;
}

async function follow() {
  for (let failures = 0; failures < GIVE_UP_AFTER; ) {
    try {
      const news = await ask();
      failures = 0;
      say(news.state);
      document.getElementById("duration").textContent = news.duration;
      if (news.over) {
        // The rest of the page (how long it took, why it failed) is the server's to write.
        location.reload();
        return;
      }
    } catch (error) {
      failures += 1;
      console.warn(error);
    }
    await new Promise((resume) => setTimeout(resume, ASK_EVERY_MS));
  }
  say("no answer; reload the page");
}

for (const pane of panes.values()) pane.scrollTop = pane.scrollHeight;
if (logs.dataset.over !== "true") follow();
