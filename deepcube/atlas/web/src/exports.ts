/** Files of what is seen: a picture, the values in view, and a page that stands alone. */

import { address, type Layer } from "./api";
import { digits } from "./dom";
import { type AtlasMap, picture } from "./map";
import { styled } from "./legend";
import type { Contents } from "./api";
import type { Scene } from "./scene";
import { nearest, type Shown } from "./state";

export type Form = "png" | "csv" | "geojson" | "html";

/** Hand a file to the browser. */
export function save(content: Blob | string, name: string): void {
  const link = document.createElement("a");
  link.href = typeof content === "string" ? content : URL.createObjectURL(content);
  link.download = name;
  link.click();
  if (typeof content !== "string") setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return the address of the values in view as CSV or GeoJSON. */
export function values(layer: Layer, step: number, form: "csv" | "geojson", map: AtlasMap): string {
  const bounds = map.bounds.map((edge) => edge.toFixed(6)).join(",");
  return address("export", { in: layer.collection, layer: layer.id, t: step, as: form, bounds });
}

/** Draw what is seen with its title, time and legend onto one canvas. */
export function compose(
  map: AtlasMap, other: AtlasMap | null, swipe: number, layer: Layer, shown: Shown, time: string | null, palettes: Contents["palettes"],
): HTMLCanvasElement {
  const source = map.canvas(), scale = window.devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height + 64 * scale;
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(source, 0, 0);
  if (other) {
    const left = Math.round(source.width * swipe);
    pen.drawImage(other.canvas(), left, 0, source.width - left, source.height, left, 0, source.width - left, source.height);
    pen.fillRect(left - 1, 0, 3, source.height);
  }
  pen.save();
  pen.translate(0, source.height);
  pen.scale(scale, scale);
  pen.fillStyle = "#111111";
  pen.font = "600 14px sans-serif";
  const units = layer.units && layer.units !== "1" ? ` (${layer.units})` : "";
  const simulated = layer.simulated ? "SIMULATED DATA  " : "";
  pen.fillText(`${simulated}${layer.title}${units}  ${(time ?? "").replace("T", " ")}`.slice(0, 140), 12, 22);
  pen.font = "11px sans-serif";
  if (layer.style.scheme === "classes") {
    let x = 12;
    for (const category of layer.style.classes) {
      pen.fillStyle = category.colour;
      pen.fillRect(x, 34, 12, 12);
      pen.fillStyle = "#111111";
      pen.fillText(category.label, x + 16, 44);
      x += pen.measureText(category.label).width + 30;
    }
  } else {
    const { stops, low, high } = styled(layer, shown, palettes);
    stops.forEach((colour, i) => { pen.fillStyle = colour; pen.fillRect(12 + i * 12, 32, 12.5, 12); });
    pen.fillStyle = "#111111";
    pen.fillText(digits(low, 3), 12, 58);
    pen.fillText(digits(high, 3), 12 + stops.length * 12 - 20, 58);
  }
  pen.fillText("Borders: Natural Earth", canvas.width / scale - 130, 58);
  pen.restore();
  return canvas;
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new Error("the picture could not be read"));
    reader.readAsDataURL(blob);
  });
}

const PAGE_STYLE = "body{font:15px/1.5 sans-serif;margin:1rem auto;max-width:70rem;padding:0 1rem}img{max-width:100%}" +
  "figure{display:inline-block;margin:.4rem;width:15rem}figure img{width:100%;image-rendering:pixelated;background:#eee}dt{font-weight:600}";

/** Return a page that stands alone: the picture, what it shows, and the steps around it. It holds no script. */
export async function page(
  canvas: HTMLCanvasElement, layer: Layer, time: string | null, steps: { time: string; url: string }[], facts: Record<string, string>,
): Promise<string> {
  const made = document.implementation.createHTMLDocument(`${layer.title} ${time ?? ""}`);
  const element = (tag: string, text: string, parent: Element = made.body): HTMLElement => {
    const one = made.createElement(tag);
    one.textContent = text;
    parent.append(one);
    return one;
  };
  const policy = made.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
  const charset = made.createElement("meta");
  charset.setAttribute("charset", "utf-8");
  made.head.prepend(charset, policy);
  made.documentElement.lang = "en";
  if (layer.simulated) element("p", "SIMULATED DATA");
  element("h1", `${layer.title}${time ? `, ${time.replace("T", " ")}` : ""}`);
  const main = made.createElement("img");
  main.src = canvas.toDataURL("image/png");
  main.alt = `Map of ${layer.title}`;
  made.body.append(main);
  const list = element("dl", "");
  for (const [name, value] of Object.entries(facts)) { element("dt", name, list); element("dd", value, list); }
  if (steps.length) element("h2", "Steps around");
  for (const step of steps) {
    const response = await fetch(step.url);
    if (!response.ok) throw new Error(`the picture of ${step.time} could not be read`);
    const figure = element("figure", "");
    const image = made.createElement("img");
    image.src = await dataUrl(await response.blob());
    image.alt = step.time;
    figure.append(image);
    element("figcaption", step.time.replace("T", " "), figure);
  }
  // Our own policy holds for documents made here too and would block a style in this one; in the file it is allowed.
  return `<!doctype html>\n${made.documentElement.outerHTML.replace("</head>", () => `<style>${PAGE_STYLE}</style></head>`)}\n`;
}

/** Save what is seen in one of the forms. */
export async function saveSeen(scene: Scene, form: Form): Promise<void> {
  const { main: layer, state } = scene, shown = state.main;
  if (!layer || !shown) return;
  const position = layer.times ? nearest(layer.times, state.time) : 0;
  const name = `${layer.name}${state.time ? `-${state.time}` : ""}`.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 80);
  if (form === "csv" || form === "geojson") {
    const response = await fetch(values(layer, position, form, scene.map));
    if (!response.ok) throw new Error((await response.json()).error);
    save(await response.blob(), `${name}.${form}`);
    return;
  }
  const canvas = compose(scene.map, scene.other, state.swipe, layer, shown, state.time, scene.contents.palettes);
  if (form === "png") {
    canvas.toBlob((blob) => { if (blob) save(blob, `${name}.png`); });
    return;
  }
  const around = layer.times && layer.mode === "frame"
    ? layer.times.map((time, step) => ({ time, step })).slice(Math.max(0, position - 5), position + 6) : [];
  const collection = scene.contents.collections.find((each) => each.id === layer.collection);
  const facts = { "what": layer.title, "units": layer.units || "1", "from": collection?.title ?? layer.collection, ...collection?.facts };
  const steps = around.map(({ time, step }) => ({ time, url: picture(layer, shown, step) }));
  save(new Blob([await page(canvas, layer, state.time, steps, facts)], { type: "text/html" }), `${name}.html`);
}
