/** Numbers that functions count with. One that was never counted is 0. */

export interface CounterStore {
  /** The sum. Throws BAD_REQUEST, and changes nothing, where it would be no safe integer. */
  add(namespace: string, name: string, by: number): Promise<number>;
  get(namespace: string, name: string): Promise<number>;
  delete(namespace: string, name: string): Promise<void>;
}
