/** The space-time block: one variable as a box of longitude, latitude and time that can be turned. */

import { address, type Layer } from "./api";
import { byId, h } from "./dom";
import type { Shown } from "./state";

export interface Cut { time: number; latitude: number; longitude: number; turn: number; tilt: number }
export const WHOLE: Cut = { time: 1, latitude: 1, longitude: 1, turn: -32, tilt: -24 };

type Axis = "t" | "y" | "x";
interface Face { name: string; axis: Axis; near: boolean }
const FACES: Face[] = [
  { name: "front", axis: "t", near: true }, { name: "back", axis: "t", near: false },
  { name: "top", axis: "y", near: true }, { name: "bottom", axis: "y", near: false },
  { name: "right", axis: "x", near: true }, { name: "left", axis: "x", near: false },
];

/** Draws a block into the stage and keeps it in step with its sliders. */
export class Block {
  private cut: Cut = { ...WHOLE };
  private readonly box = h("div", { class: "box" });
  private readonly scene = h("div", { class: "scene", tabindex: 0, role: "img" });
  private readonly labels = h("div", { class: "block-controls" });
  private layer: Layer | null = null;
  private shown: Shown | null = null;

  constructor(private readonly changed: (cut: Cut) => void) {
    this.scene.append(this.box);
    byId("block").append(this.scene, this.labels);
    let from: [number, number] | null = null;
    this.scene.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; this.scene.setPointerCapture(event.pointerId); });
    this.scene.addEventListener("pointermove", (event) => {
      if (!from) return;
      this.turn((event.clientX - from[0]) * 0.4, (from[1] - event.clientY) * 0.4);
      from = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"]) this.scene.addEventListener(name, () => { from = null; this.changed(this.cut); });
    this.scene.addEventListener("keydown", (event) => {
      const turns: Record<string, [number, number]> = { ArrowLeft: [-6, 0], ArrowRight: [6, 0], ArrowUp: [0, 6], ArrowDown: [0, -6] };
      const by = turns[event.key];
      if (!by) return;
      event.preventDefault();
      this.turn(...by);
      this.changed(this.cut);
    });
    new ResizeObserver(() => this.place()).observe(byId("block"));
  }

  private turn(by: number, tilt: number): void {
    this.cut.turn = (this.cut.turn + by + 540) % 360 - 180;
    this.cut.tilt = Math.max(-90, Math.min(90, this.cut.tilt + tilt));
    this.place();
  }

  /** Show a layer cut at some planes. */
  show(layer: Layer, shown: Shown, cut: Cut): void {
    this.layer = layer;
    this.shown = shown;
    this.cut = { ...cut };
    this.box.replaceChildren();
    if (!layer.times || layer.times.length < 2) {
      this.labels.replaceChildren(h("p", {}, "This layer does not vary in time; choose one that does."));
      return;
    }
    for (const face of FACES) {
      const image = h("img", { class: `face face-${face.name}`, alt: "", src: this.url(face), draggable: "false" });
      this.box.append(image);
    }
    this.sliders();
    this.place();
  }

  private url(face: Face): string {
    const { layer, shown } = this;
    const share = { t: this.cut.time, y: this.cut.latitude, x: this.cut.longitude }[face.axis];
    return address("face", {
      in: layer!.collection, v: layer!.version, layer: layer!.id, axis: face.axis, at: face.near ? share : 0, from: 0,
      to: layer!.times!.length - 1, palette: shown!.palette, low: shown!.low, high: shown!.high,
    });
  }

  private sliders(): void {
    const { layer } = this, [west, south, east, north] = layer!.bounds, times = layer!.times!;
    const texts = {
      time: (share: number): string => times[Math.round(share * (times.length - 1))]!.replace("T", " "),
      latitude: (share: number): string => `${(south + share * (north - south)).toFixed(2)}°`,
      longitude: (share: number): string => `${(west + share * (east - west)).toFixed(2)}°`,
    };
    const one = (name: "time" | "latitude" | "longitude", face: Face): HTMLElement => {
      const said = h("span", {}, texts[name](this.cut[name]));
      const input = h("input", { type: "range", min: 0, max: 1000, value: Math.round(this.cut[name] * 1000) });
      input.setAttribute("aria-label", `${name[0]!.toUpperCase()}${name.slice(1)} of the ${face.name}`);
      input.setAttribute("aria-valuetext", texts[name](this.cut[name]));
      input.addEventListener("input", () => {
        this.cut[name] = Number(input.value) / 1000;
        said.textContent = texts[name](this.cut[name]);
        input.setAttribute("aria-valuetext", texts[name](this.cut[name]));
        this.describe();
        (this.box.querySelector(`.face-${face.name}`) as HTMLImageElement).src = this.url(face);
      });
      input.addEventListener("change", () => this.changed(this.cut));
      return h("label", {}, h("span", {}, `${name[0]!.toUpperCase()}${name.slice(1)} of the ${face.name}: `, said), input);
    };
    this.labels.replaceChildren(one("time", FACES[0]!), one("latitude", FACES[2]!), one("longitude", FACES[4]!));
    this.describe();
  }

  private describe(): void {
    const times = this.layer!.times!;
    this.scene.setAttribute("aria-label",
      `Block of ${this.layer!.title}: longitude by latitude by time from ${times[0]} to ${times[times.length - 1]}; arrow keys turn it`);
  }

  /** Put the faces where they belong: front is the last time, top the north, right the east. */
  private place(): void {
    const { layer } = this;
    const room = byId("block").getBoundingClientRect();
    if (!layer?.times || !room.width) return;
    const [west, south, east, north] = layer.bounds;
    const ratio = Math.max(0.25, Math.min(4, ((east - west) * Math.cos(((south + north) / 2) * Math.PI / 180)) / Math.max(north - south, 1e-9)));
    const most = Math.min(room.width * 0.5, (room.height - 150) * 0.55);
    const width = ratio >= 1 ? most : most * ratio, height = ratio >= 1 ? most / ratio : most, depth = most * 0.9;
    const sizes: Record<string, [number, number, string]> = {
      front: [width, height, `translateZ(${depth / 2}px)`],
      back: [width, height, `translateZ(${-depth / 2}px)`],
      top: [width, depth, `translateY(${-height / 2}px) rotateX(90deg)`],
      bottom: [width, depth, `translateY(${height / 2}px) rotateX(90deg)`],
      right: [depth, height, `translateX(${width / 2}px) rotateY(90deg) scaleX(-1)`],
      left: [depth, height, `translateX(${-width / 2}px) rotateY(90deg) scaleX(-1)`],
    };
    for (const image of this.box.children as HTMLCollectionOf<HTMLElement>) {
      const [across, down, transform] = sizes[image.className.replace("face face-", "")]!;
      Object.assign(image.style, {
        width: `${across}px`, height: `${down}px`, marginLeft: `${-across / 2}px`, marginTop: `${-down / 2}px`, transform,
      });
    }
    this.box.style.transform = `rotateX(${this.cut.tilt}deg) rotateY(${this.cut.turn}deg)`;
  }
}
