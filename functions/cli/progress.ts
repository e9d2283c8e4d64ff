/** A bar on a terminal that says how far an upload is; nothing anywhere else. */

// cli-progress: bars and nothing else, kept since 2015; it leaves no line behind and stands back where there is no terminal.
import { Presets, SingleBar } from 'cli-progress';
import type { World } from './cli.ts';
import { bytes } from './output.ts';
import type { OnSent } from './upload.ts';

export interface Progress {
  onSent: OnSent;
  /** Takes the bar away. */
  end(): void;
}

export function uploadProgress({ stderr }: Pick<World, 'stderr'>, what: string): Progress | null {
  if (stderr.isTTY !== true) return null;
  const bar = new SingleBar(
    {
      stream: stderr as NodeJS.WriteStream,
      format: `${what} {bar} {percentage} %  {sent} of {all}`,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  let begun = false;
  return {
    onSent(sent, total) {
      const shown = { sent: bytes(sent), all: bytes(total) };
      if (begun) bar.update(sent, shown);
      else bar.start(total, sent, shown);
      begun = true;
    },
    end() {
      bar.stop();
    },
  };
}
