/** Reads a drawn chart back from its pixels: what stands in every column, in device pixels from the top left corner. */
import type { Page } from 'playwright-core';

export interface Extent {
  readonly top: number;
  readonly bottom: number;
}

export interface ChartPixels {
  readonly width: number;
  readonly height: number;
  /** The line of readings, by column; null where there is none. */
  readonly ink: readonly (Extent | null)[];
  /** The fan: bands and median. */
  readonly fan: readonly (Extent | null)[];
  readonly median: readonly (Extent | null)[];
  /** Circles at buckets without a reading. */
  readonly filled: readonly (Extent | null)[];
}

/** A canvas with this selector, or all canvases inside it one above the other, on white. For the light colours. */
export async function chartPixels(page: Page, selector: string): Promise<ChartPixels> {
  return (await page.evaluate(`(() => {
    const root = document.querySelector(${JSON.stringify(selector)});
    const layers = root.matches('canvas') ? [root] : [...root.querySelectorAll('canvas')];
    const { width, height } = layers[0];
    const flat = new OffscreenCanvas(width, height).getContext('2d');
    flat.fillStyle = '#fff';
    flat.fillRect(0, 0, width, height);
    for (const layer of layers) flat.drawImage(layer, 0, 0);
    const { data } = flat.getImageData(0, 0, width, height);
    const columns = (is) => Array.from({ length: width }, (_, x) => {
      let top = -1, bottom = -1;
      for (let y = 0; y < height; y++) {
        const at = 4 * (y * width + x);
        if (!is(data[at], data[at + 1], data[at + 2])) continue;
        if (top < 0) top = y;
        bottom = y;
      }
      return top < 0 ? null : { top, bottom };
    });
    return {
      width,
      height,
      ink: columns((r, g, b) => r < 70 && g < 75 && b < 90),
      fan: columns((r, g, b) => b > 205 && b - r > 17),
      median: columns((r, g, b) => b > 180 && r < 90),
      filled: columns((r, g, b) => r - b > 110 && r - g > 60),
    };
  })()`)) as ChartPixels;
}

export const middle = ({ top, bottom }: Extent): number => (top + bottom) / 2;
