// `npm ci` must not download a browser: scripts/chrome.ts finds or installs one when a test needs it.
module.exports = { skipDownload: true };
