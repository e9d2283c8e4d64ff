/** What the binding NOTES of hearth.jsonc can do, as far as it is used here. */
export interface Notes {
  get(name: string): Promise<string | null>;
  put(name: string, text: string): Promise<void>;
}
