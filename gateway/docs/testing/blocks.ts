/**
 * The commands of a page: its ```sh blocks, in their order. What a block has to print stands in the fence's own line, where
 * no reader sees it: "```sh expect: FRAGMENT | FRAGMENT".
 */

export interface Block {
  /** The line of its first command, from 1. */
  line: number;
  code: string;
  expect: string[];
}

export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\w+)(?: expect: (.*))?$/.exec(lines[i] ?? '');
    if (fence === null) {
      if (/^```sh\b/.test(lines[i] ?? ''))
        throw new Error(`line ${i + 1}: a fence is "\`\`\`sh" or "\`\`\`sh expect: TEXT"`);
      continue;
    }
    const end = lines.indexOf('```', i + 1);
    if (end === -1) throw new Error(`line ${i + 1}: this block has no end`);
    const [, language, expect] = fence;
    if (language === 'sh') {
      const code = `${lines.slice(i + 1, end).join('\n')}\n`;
      blocks.push({ line: i + 2, code, expect: expect?.split(' | ') ?? [] });
    }
    i = end;
  }
  return blocks;
}

/** From the heading to the next of its depth or above. Throws when there is none. */
export function section(markdown: string, heading: string): string {
  const start = markdown.split('\n').indexOf(heading);
  if (start === -1) throw new Error(`no heading ${JSON.stringify(heading)}`);
  const depth = heading.indexOf(' ');
  const lines = markdown.split('\n');
  const end = lines.findIndex((line, i) => i > start && /^#+ /.test(line) && line.indexOf(' ') <= depth);
  // Lines before it stay, empty, so that a block's line is the page's.
  return lines.map((line, i) => (i < start || (end !== -1 && i >= end) ? '' : line)).join('\n');
}
