/** Tells when a file of a project was written, made, moved or removed. */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

export interface Watching {
  /** Files elsewhere that the project is made from; they replace those given before. */
  also(files: readonly string[]): void;
  close(): void;
}

/** What a deploy leaves out, and what it takes from there does not change under an edit. */
const LEFT_OUT = /(^|[/\\])(node_modules|\.(?!well-known([/\\]|$))[^/\\]*)([/\\]|$)/;

/** `path`: a directory, or one file. Throws when it cannot be watched. */
export function watchProject(path: string, isDirectory: boolean, changed: () => void): Watching {
  const own = isDirectory
    ? watch(path, { recursive: true, ignore: (name) => LEFT_OUT.test(name) }, changed)
    : watch(dirname(path), (_event, name) => {
        // Beside it stands what it imports.
        if (name === null || !LEFT_OUT.test(name)) changed();
      });
  const others = new Map<string, { watcher: FSWatcher; names: Set<string> }>();
  return {
    also(files) {
      const wanted = Map.groupBy(files, dirname);
      for (const [directory, { watcher }] of others) {
        if (wanted.has(directory)) continue;
        watcher.close();
        others.delete(directory);
      }
      for (const [directory, inIt] of wanted) {
        const names = new Set(inIt.map((file) => basename(file)));
        const watched = others.get(directory);
        if (watched !== undefined) watched.names = names;
        else {
          const entry = {
            names,
            // The directory, as a file that is replaced is another one.
            watcher: watch(directory, (_event, name) => {
              if (name === null || entry.names.has(name)) changed();
            }),
          };
          others.set(directory, entry);
        }
      }
    },
    close() {
      own.close();
      for (const { watcher } of others.values()) watcher.close();
    },
  };
}
