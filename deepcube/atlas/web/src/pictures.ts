/** Pictures of steps, fetched and decoded ahead of time; the ones seen longest ago are forgotten. */

import { ApiError } from "./api";

const MOST = 12;

interface Held { picture: Promise<ImageBitmap>; stop: AbortController | null }

/** Pictures by address. */
export class Pictures {
  private readonly held = new Map<string, Held>();

  /** Return a picture, ready to be drawn; what is still on its way and neither this nor near it is given up. */
  get(url: string, near: string[]): Promise<ImageBitmap> {
    for (const [other, { stop }] of this.held) {
      if (stop && other !== url && !near.includes(other)) {
        stop.abort();
        this.held.delete(other);
      }
    }
    return this.want(url);
  }

  /** Fetch pictures that are likely to be wanted next. */
  prefetch(urls: string[]): void {
    for (const url of urls) this.want(url).catch(() => undefined);
  }

  private want(url: string): Promise<ImageBitmap> {
    const found = this.held.get(url) ?? this.fetched(url);
    this.held.delete(url);
    this.held.set(url, found); // the last one is the one used last
    while (this.held.size > MOST) this.held.delete(this.held.keys().next().value!);
    return found.picture;
  }

  private fetched(url: string): Held {
    const stop = new AbortController();
    const held: Held = { picture: decoded(url, stop.signal), stop };
    held.picture.then(() => { held.stop = null; }, () => { if (this.held.get(url) === held) this.held.delete(url); });
    return held;
  }
}

async function decoded(url: string, signal: AbortSignal): Promise<ImageBitmap> {
  const response = await fetch(url, { signal });
  if (!response.ok) {
    const text = await response.text();
    let message = `${response.status} ${response.statusText}`;
    try { message = (JSON.parse(text) as { error?: string }).error ?? message; } catch { /* not JSON: the status says it */ }
    throw new ApiError(response.status, message);
  }
  return createImageBitmap(await response.blob());
}
