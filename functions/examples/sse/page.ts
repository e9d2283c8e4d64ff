export function page(eventsUrl: string): string {
  const safeUrl = JSON.stringify(eventsUrl).replaceAll('<', '\\u003c');
  return `<!doctype html>
<meta charset="utf-8">
<title>Quotes</title>
<h1 id="price">…</h1>
<script>
  const source = new EventSource(${safeUrl});
  source.addEventListener('quote', (event) => {
    document.getElementById('price').textContent = JSON.parse(event.data).price.toFixed(2);
  });
</script>
`;
}
