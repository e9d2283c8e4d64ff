const path = require('node:path');
const express = require('express');

const BREADS = [
  { id: 'rye', name: 'Rye, three days', cents: 620 },
  { id: 'spelt', name: 'Spelt with walnuts', cents: 540 },
  { id: 'brioche', name: 'Brioche', cents: 480 },
];

const app = express();
app.disable('x-powered-by');
app.use(express.static(path.join(__dirname, 'public'), { maxAge: '1h' }));
app.use(express.urlencoded({ extended: false, limit: '16kb' }));

app.get('/api/breads', (_request, response) => {
  response.json({ breads: BREADS });
});

app.get('/api/breads/:id', (request, response) => {
  const bread = BREADS.find(({ id }) => id === request.params.id);
  if (bread === undefined) response.status(404).json({ error: 'no such bread' });
  else response.json(bread);
});

app.post('/reservations', (request, response) => {
  const { name = '', bread = '', loaves = '' } = request.body ?? {};
  const chosen = BREADS.find(({ id }) => id === bread);
  const count = Number(loaves);
  if (name.trim() === '' || chosen === undefined || !Number.isInteger(count) || count < 1 || count > 10) {
    response.status(422).send(page('Something is missing', 'A name, a bread and 1 to 10 loaves are needed.'));
    return;
  }
  const total = ((chosen.cents * count) / 100).toFixed(2);
  response.status(201).send(page('Reserved', `${count} × ${chosen.name} for ${name.trim()}: ${total} €`));
});

app.use((_request, response) => {
  response.status(404).send(page('Not found', 'There is nothing here.'));
});

function page(title, text) {
  return `<!doctype html><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<h1>${escapeHtml(title)}</h1><p>${escapeHtml(text)}</p><p><a href="./">Back</a></p>\n`;
}

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

app.listen(process.env.PORT ?? 3000);
