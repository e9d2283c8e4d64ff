/** Node applications as their authors have them: the sources and all of node_modules, deployed over HTTP as they are. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { nodeModules } from '../../functions/examples/testing/deploy.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const PACKAGE_JSON = join(import.meta.dirname, '../../package.json');

const APPS = {
  fastify: `
    const app = require('fastify')();
    app.get('/hi/:name', async (request) => ({ hi: request.params.name, q: request.query.q }));
    app.post('/sum', async (request) => ({ sum: request.body.a + request.body.b }));
    app.listen({ port: 3000, host: '0.0.0.0' });`,
  koa: `
    const Koa = require('koa');
    const app = new Koa();
    app.use(async (ctx) => {
      if (ctx.method === 'GET') { ctx.body = { hi: ctx.path.split('/')[2], q: ctx.query.q }; return; }
      const chunks = [];
      for await (const chunk of ctx.req) chunks.push(chunk);
      const { a, b } = JSON.parse(Buffer.concat(chunks));
      ctx.body = { sum: a + b };
    });
    app.listen(process.env.PORT || 3000);`,
  express: `
    const express = require('express');
    const app = express();
    app.use(express.json());
    app.get('/hi/:name', (req, res) => res.json({ hi: req.params.name, q: req.query.q }));
    app.post('/sum', (req, res) => res.json({ sum: req.body.a + req.body.b }));
    app.listen(3000, () => console.log('listening'));`,
  http: `
    require('node:http').createServer((req, res) => {
      const url = new URL(req.url, 'http://localhost');
      const send = (value) => { res.setHeader('content-type', 'application/json'); res.end(JSON.stringify(value)); };
      if (req.method === 'GET') { send({ hi: url.pathname.split('/')[2], q: url.searchParams.get('q') }); return; }
      let text = '';
      req.on('data', (chunk) => { text += chunk; });
      req.on('end', () => { const { a, b } = JSON.parse(text); send({ sum: a + b }); });
    }).listen(8000);`,
};

describe('an application with its node_modules', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway[Symbol.asyncDispose]());

  for (const [name, source] of Object.entries(APPS)) {
    test(`of ${name} is deployed as it stands and answers`, async () => {
      const form = new FormData();
      form.append('files', new Blob([source]), 'server.js');
      form.append('files', new Blob([JSON.stringify({ name: `${name}-app`, main: 'server.js' })]), 'package.json');
      if (name !== 'http') {
        for (const [path, bytes] of await nodeModules(PACKAGE_JSON, [name])) {
          form.append('files', new Blob([new Uint8Array(bytes)]), path);
        }
      }
      const deployed = await gateway.api('PUT', `/v1/functions/${name}`, form);
      assert.equal(deployed.status, 201, JSON.stringify(deployed.body));
      const hi = await fetch(`${gateway.url}/${name}/hi/ada?q=1`);
      assert.deepEqual(await hi.json(), { hi: 'ada', q: '1' });
      const sum = await fetch(`${gateway.url}/${name}/sum`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"a":1,"b":2}',
      });
      assert.deepEqual(await sum.json(), { sum: 3 });
    });
  }
});
