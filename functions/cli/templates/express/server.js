import { join } from 'node:path';
import express from 'express';

const app = express();
app.disable('x-powered-by');
app.use(express.static(join(import.meta.dirname, 'public')));
app.use(express.json({ limit: '16kb' }));

app.get('/api/time', (_request, response) => {
  response.json({ time: new Date().toISOString() });
});

app.post('/api/echo', (request, response) => {
  response.json(request.body);
});

// Hearth gives it the requests; `npm start` listens on this port by itself.
app.listen(process.env.PORT ?? 3000);
