export interface Job {
  id: string;
  text: string;
}

/** Null: it is no job. */
export function jobOf(body: string): Job | null {
  try {
    const { text } = JSON.parse(body) as { text?: unknown };
    return typeof text === 'string' ? { id: crypto.randomUUID(), text } : null;
  } catch {
    return null; // no JSON, or not an object
  }
}

/** Where the real thing goes. */
export function perform({ text }: Job): string {
  return text.toUpperCase();
}
