/** Tokens of the control API. */

export interface TokenRecord {
  id: string;
  /** SHA-256 of the token, hex. The token itself is shown once and kept nowhere. */
  hash: string;
  scopes: string[];
  trustGroups: string[];
  routes: string[];
  createdAt: number;
}

export interface TokenStore {
  put(record: TokenRecord): Promise<void>;
  list(): Promise<TokenRecord[]>;
  delete(id: string): Promise<boolean>;
}
