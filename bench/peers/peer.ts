/** Something that answers HTTP and is measured: Hearth or what it is compared with. */
export interface Peer extends AsyncDisposable {
  readonly name: string;
  /** Port on 127.0.0.1, and the path of the function to call. */
  readonly port: number;
  readonly path: string;
  /** The process whose CPU time counts; its descendants count as well. */
  readonly pid: number;
}
