/** Placeholder, see below. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { VersionEntry } from '../../registry/registry.ts';
import type { Upload } from '../upload.ts';
import type { WorkerUpload } from './upload.ts';

export interface AssetUploads {
  /** Throws BAD_REQUEST for an upload that is not whole, or somebody else's. */
  complete(name: string, worker: WorkerUpload, before: VersionEntry | undefined): Upload;
}

export function createAssetUploads(): AssetUploads {
  return {
    complete(_name, { upload, assets }) {
      if (assets === undefined) return upload;
      throw new HearthError('BAD_REQUEST', 'Static assets cannot be uploaded by wrangler yet.');
    },
  };
}
