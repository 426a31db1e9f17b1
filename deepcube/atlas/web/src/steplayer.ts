/** A layer of the map that shows one picture, cells as they are, and changes it without drawing the rest of the map. */

import type { FrameState } from "ol/Map";
import type { Extent } from "ol/extent";
import Layer from "ol/layer/Layer";

const WORLD = 2 * 20037508.342789244; // metres around the world in EPSG:3857

/** Draws a picture into an extent of EPSG:3857, and again a world further where that is in view. */
export class StepLayer extends Layer {
  private readonly canvas = document.createElement("canvas");
  private readonly box = document.createElement("div");
  private frame: FrameState | null = null;
  private bitmap: ImageBitmap | null = null;
  private place: Extent = [0, 0, 0, 0];

  constructor(zIndex: number) {
    super({ zIndex });
    // In a box of its own: the layers above would else draw onto this canvas, and be cleared with it.
    this.box.className = "ol-layer step";
    this.box.append(this.canvas);
  }

  /** Show a picture; only this layer is drawn anew where the map stands still. */
  show(bitmap: ImageBitmap | null, place: Extent): void {
    this.bitmap = bitmap;
    this.place = place;
    if (this.frame && this.canvas.isConnected) this.draw(this.frame);
    else this.changed();
  }

  /** Draw for the map; called whenever its view changes. */
  override render(frame: FrameState | null): HTMLElement {
    if (frame) {
      this.frame = frame;
      this.draw(frame);
    }
    return this.box;
  }

  private draw(frame: FrameState): void {
    const { canvas, bitmap } = this, ratio = frame.pixelRatio;
    const [width, height] = frame.size.map((side) => Math.round(side * ratio)) as [number, number];
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${frame.size[0]}px`;
      canvas.style.height = `${frame.size[1]}px`;
    }
    canvas.style.opacity = String(this.getOpacity());
    const pen = canvas.getContext("2d")!;
    pen.clearRect(0, 0, width, height);
    if (!bitmap) return;
    pen.imageSmoothingEnabled = false;
    const { center, resolution } = frame.viewState, scale = ratio / resolution;
    const [west, south, east, north] = this.place as [number, number, number, number];
    const top = height / 2 - (north - center[1]!) * scale, tall = (north - south) * scale, wide = (east - west) * scale;
    const around = WORLD * scale, first = width / 2 + (west - center[0]!) * scale;
    for (let left = first - Math.floor((first + wide) / around) * around; left < width; left += around) {
      // Only the pixels in view: of a picture seen from close by, the whole would be larger than a canvas may be.
      const [x0, x1] = seen(left, wide, width, bitmap.width), [y0, y1] = seen(top, tall, height, bitmap.height);
      if (x1 <= x0 || y1 <= y0) continue;
      const [across, down] = [wide / bitmap.width, tall / bitmap.height];
      pen.drawImage(bitmap, x0, y0, x1 - x0, y1 - y0, left + x0 * across, top + y0 * down, (x1 - x0) * across, (y1 - y0) * down);
    }
  }
}

/** Return the first and the last pixel of a picture that are in view along one axis. */
function seen(start: number, length: number, room: number, pixels: number): [number, number] {
  const at = (position: number): number => ((position - start) / length) * pixels;
  return [Math.max(0, Math.floor(at(0))), Math.min(pixels, Math.ceil(at(room)))];
}
