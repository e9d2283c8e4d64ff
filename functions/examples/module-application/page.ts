/** The game in a browser: one page, no build. */
export function page(most: number): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Number hunt</title>
<style>
  body { font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 3rem auto; padding: 0 1rem }
  input { font: inherit; width: 8rem }
</style>
<h1>Number hunt</h1>
<p>One number a day, from 1 to ${most}. Who needs the fewest guesses?</p>
<form>
  <input name="player" placeholder="your name" required pattern="[A-Za-z0-9_\\-]{1,20}">
  <input name="guess" type="number" min="1" max="${most}" required>
  <button>Guess</button>
</form>
<p aria-live="polite" id="said"></p>
<ol id="board"></ol>
<script type="module">
  const form = document.querySelector('form');
  // Wherever the page was called: /hunt, or /module-application/hunt.
  const at = location.pathname.replace(/\\/$/, '');
  async function board() {
    const { players } = await (await fetch(at + '/board')).json();
    const items = players.map(({ player, guesses, found }) => {
      const item = document.createElement('li');
      item.textContent = player + ': ' + guesses + (found ? ', found' : ', still hunting');
      return item;
    });
    document.querySelector('#board').replaceChildren(...items);
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const { player, guess } = Object.fromEntries(new FormData(form));
    const response = await fetch(at + '/' + player + '/guesses', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ guess: Number(guess) }),
    });
    const said = await response.json();
    document.querySelector('#said').textContent = said.error ?? said.answer + ', after ' + said.guesses;
    await board();
  });
  await board();
</script>
`;
}
