/**
 * Loaded into the gateway that `hearth dev` starts: it ends when whoever started it has gone, however that ended. Its
 * standard input is a pipe from there, on which nothing is ever written.
 */
process.stdin.resume().on('close', () => process.kill(process.pid, 'SIGTERM'));
