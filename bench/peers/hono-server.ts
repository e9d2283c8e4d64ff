/** Plain Hono on Node, as its own process: `node hono-server.ts PORT [APP]`. */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { ECHO_APP } from './apps.ts';

const [, , port, app] = process.argv;
const hello = new Hono();
hello.get('/', (c) => c.text('hello'));
const fetch = app === 'echo' ? ECHO_APP.fetch : hello.fetch;
serve({ fetch, hostname: '127.0.0.1', port: Number(port) });
