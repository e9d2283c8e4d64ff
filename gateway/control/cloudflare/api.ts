/**
 * The part of Cloudflare's API that wrangler deploys by, under /client/v4: the same operations and rights as /v1, in
 * Cloudflare's words. Any account id names this Hearth.
 */
import { Hono } from 'hono';
import { MAX_ASSET_BYTES } from '../../ingress/assets/intake.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Access } from '../access.ts';
import { limitBody } from '../body-limit.ts';
import type { ControlEnv } from '../http.ts';
import { asHearthError } from '../problems.ts';
import { accountResource } from './account.ts';
import { type AssetUploadParts, assetsResource, createAssetUploads } from './assets.ts';
import { CloudflareError, failure, noSuchCall } from './envelope.ts';
import { kvResource } from './kv.ts';
import type { CloudflareApp, CloudflareParts } from './parts.ts';
import { queuesResource } from './queues.ts';
import { scriptsResource } from './scripts.ts';
import { secretsResource } from './secrets.ts';
import { createRepublish, triggersResource } from './triggers.ts';
import { versionsResource } from './versions.ts';

export const CLOUDFLARE_PATH = '/client/v4';

/** All other bodies are lists of names. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;
const UPLOAD = /\/workers\/scripts\/[^/]+(\/versions)?$/;
const ASSET = /\/workers\/assets\/upload\/[^/]+$/;

export interface CloudflareApiParts extends CloudflareParts, AssetUploadParts {
  access: Pick<Access, 'authenticate'>;
  log: Pick<Logger, 'error'>;
}

export function createCloudflareApi(parts: CloudflareApiParts): CloudflareApp {
  const app: CloudflareApp = new Hono<ControlEnv>();
  const republish = createRepublish(parts);
  const assets = createAssetUploads(parts);

  app.use(async (c, next) => {
    const authorization = c.req.header('authorization');
    // Contents of assets come with the token of their upload.
    if (ASSET.test(c.req.path)) assets.authenticate(authorization);
    else c.set('caller', parts.access.authenticate(authorization));
    await next();
  });
  const assetLimit = limitBody(MAX_ASSET_BYTES, '');
  const uploadLimit = limitBody(parts.maxDeployBytes, ' (HEARTH_MAX_DEPLOY_MB)');
  const jsonLimit = limitBody(MAX_JSON_BYTES, '');
  app.use((c, next) => {
    if (ASSET.test(c.req.path)) return assetLimit(c, next);
    return UPLOAD.test(c.req.path) ? uploadLimit(c, next) : jsonLimit(c, next);
  });

  accountResource(app);
  assetsResource(app, parts);
  scriptsResource(app, parts, assets);
  versionsResource(app, parts, assets);
  secretsResource(app, parts);
  triggersResource(app, parts, republish);
  queuesResource(app, parts, republish);
  kvResource(app, parts);
  app.all('*', (c) => {
    throw noSuchCall(c.req.method, c.req.path);
  });

  app.onError((thrown, c) => {
    const error = asHearthError(thrown);
    if (error.code === 'INTERNAL') {
      parts.log.error('a call of the Cloudflare API failed', {
        method: c.req.method,
        path: c.req.path,
        error: error.cause ?? error,
      });
    }
    return error instanceof CloudflareError ? failure(error, error.number) : failure(error);
  });
  return app;
}
