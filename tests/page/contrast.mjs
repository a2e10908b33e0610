// Measures the contrast of every text that a page shows. [WCAG 2.2 1.4.3]

/** Texts of less than `least` against what is behind them, with their contrast. */
export const faintTexts = (page, least = 4.5) =>
  page.evaluate((least) => {
    const channels = (color) => {
      const found = color.match(/[\d.]+/g).map(Number);
      return color.startsWith('color(') ? [...found.slice(0, 3).map((it) => it * 255), found[3] ?? 1] : [...found.slice(0, 3), found[3] ?? 1];
    };
    const over = (top, below) => top.slice(0, 3).map((it, at) => it * top[3] + below[at] * (1 - top[3]));
    const light = (rgb) => {
      const [r, g, b] = rgb.map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      if (!element) return [255, 255, 255];
      return over(channels(getComputedStyle(element).backgroundColor), behind(element.parentElement));
    };
    const opacity = (element) => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode, element = text.parentElement;
      if (!text.textContent.trim() || element.closest('template, script, style, noscript, .hidden')) continue;
      if (element.getClientRects().length === 0 || element.offsetWidth <= 1) continue;
      const back = behind(element);
      const ink = channels(getComputedStyle(element).color);
      ink[3] *= opacity(element);
      const [a, b] = [light(over(ink, back)), light(back)].sort((one, other) => other - one);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < least) found.add(`${text.textContent.trim().slice(0, 30)} ${contrast.toFixed(2)}`);
    }
    return [...found];
  }, least);
