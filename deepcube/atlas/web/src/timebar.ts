/** The time bar: step, play, and drag through the steps of a layer. */

import { byId, h } from "./dom";

const FRAME_MS = 350;

/** Steps through positions of a time axis. */
export class TimeBar {
  private times: string[] = [];
  private position = 0;
  private playing = false;
  private readonly slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Time step" });
  private readonly label = h("output", {});
  private readonly play = h("button", { type: "button", "aria-label": "Play", click: () => this.toggle() }, "▶");

  /** `changed` shows a step and resolves when it is drawn. */
  constructor(private readonly changed: (position: number, moving: boolean) => Promise<void>) {
    this.slider.addEventListener("input", () => { this.stop(); void this.go(Number(this.slider.value), true); });
    this.slider.addEventListener("change", () => void this.go(Number(this.slider.value), false));
    byId("timebar").append(
      this.play,
      h("button", { type: "button", "aria-label": "Previous step", click: () => this.by(-1) }, "‹"),
      h("button", { type: "button", "aria-label": "Next step", click: () => this.by(1) }, "›"),
      this.slider, this.label,
    );
  }

  /** Take the time axis of a layer; none hides the bar. */
  set(times: string[] | null, position: number): void {
    this.times = times ?? [];
    if (this.times.length < 2) this.stop();
    this.slider.max = String(Math.max(0, this.times.length - 1));
    this.mark(position);
  }

  private mark(position: number): void {
    this.position = position;
    this.slider.value = String(position);
    const text = (this.times[position] ?? "").replace("T", " ");
    this.label.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
  }

  private async go(position: number, moving: boolean): Promise<void> {
    this.mark(position);
    await this.changed(position, moving);
  }

  private by(steps: number): void {
    this.stop();
    void this.go(Math.min(this.times.length - 1, Math.max(0, this.position + steps)), false);
  }

  /** Stop playing. */
  stop(): void {
    this.playing = false;
    this.play.textContent = "▶";
    this.play.setAttribute("aria-label", "Play");
  }

  private toggle(): void {
    if (this.playing) { this.stop(); return; }
    this.playing = true;
    this.play.textContent = "❚❚";
    this.play.setAttribute("aria-label", "Pause");
    void this.run();
  }

  private async run(): Promise<void> {
    while (this.playing && this.times.length > 1) {
      const began = performance.now();
      await this.go((this.position + 1) % this.times.length, true);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, FRAME_MS - (performance.now() - began))));
    }
    if (!this.playing) await this.changed(this.position, false);
  }
}
