// What makes the pages of reports move: the map of memory, and the bytes of fields.

enum ReportScript {
  /// The SHA-256 of `text` in base64: the page's own policy lets a browser run this script and no other.
  /// A test says what it has to be.
  static let digest = "li8raO4c56uDIXzspyGd+fXwqID7MkEdAOGUYh/aMZk="

  /// The script. Text gets into the page by textContent only.
  static let text = #"""

    (() => {
    "use strict";
    const byID = (id) => document.getElementById(id);

    // Fields and their bytes: what is under the pointer or has the focus is marked in both.
    for (const record of document.querySelectorAll(".record")) {
      const mark = (event, on) => {
        const part = event.target.closest("[data-f]");
        if (!part) return;
        for (const other of record.querySelectorAll(`[data-f="${Number(part.dataset.f)}"]`))
          other.classList.toggle("on", on);
      };
      for (const name of ["mouseover", "focusin"]) record.addEventListener(name, (e) => mark(e, true));
      for (const name of ["mouseout", "focusout"]) record.addEventListener(name, (e) => mark(e, false));
    }

    const source = byID("map-data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    const canvas = byID("map"), box = canvas.parentElement, info = byID("map-info"), legend = byID("map-legend");
    const sizes = [3, 4, 6, 8, 12, 16, 24];
    const night = matchMedia("(prefers-color-scheme: dark)");
    const gutter = 96;
    let zoom = 2, view = 0, cursor = 0, across = 1, rows = [], printing = false;
    const count = data.bands.reduce((sum, band) => sum + band[1], 0);

    const dark = () => night.matches && !printing;
    const color = (tint) => data.views[view].tints[tint][dark() ? 2 : 1];
    const hex = (number) => "0x" + number.toString(16);
    const pfnOf = (cell) => {
      for (const band of data.bands) {
        if (cell < band[1]) return band[0] + cell * data.step;
        cell -= band[1];
      }
      return 0;
    };

    // Rows: the first cell of each and how many there are; each band begins a new one.
    const layout = () => {
      const width = printing ? 720 : Math.max(200, box.clientWidth);
      const size = printing ? 5 : sizes[zoom];
      across = Math.max(8, Math.floor((width - gutter) / size / 8) * 8);
      rows = [];
      let start = 0;
      for (const [, cells] of data.bands) {
        for (let at = 0; at < cells; at += across)
          rows.push({ first: start + at, cells: Math.min(across, cells - at), gap: at === 0 && start > 0 });
        start += cells;
      }
      let y = 6;
      for (const row of rows) { if (row.gap) y += 6; row.y = y; y += size; }
      return { size, width: gutter + across * size, height: y + 2 };
    };

    const draw = () => {
      const { size, width, height } = layout();
      const scale = Math.min(window.devicePixelRatio || 1, 2);
      canvas.width = width * scale;
      canvas.height = Math.max(1, height) * scale;
      canvas.style.width = width + "px";
      canvas.style.height = Math.max(1, height) + "px";
      const paint = canvas.getContext("2d");
      paint.setTransform(scale, 0, 0, scale, 0, 0);
      paint.clearRect(0, 0, width, height);
      const ink = dark() ? "#e4e7eb" : "#1c2024";
      paint.font = "11px monospace";
      paint.textAlign = "right";
      paint.textBaseline = "middle";
      let label = -99;
      const gap = size >= 6 ? 1 : 0;
      const cells = data.views[view].cells;
      for (const row of rows) {
        if (row.gap || row.y - label >= 14) {
          paint.fillStyle = ink;
          paint.fillText(hex(pfnOf(row.first)), gutter - 8, row.y + Math.max(size, 8) / 2);
          label = row.y;
        }
        for (let index = 0; index < row.cells; index++) {
          const code = cells.charCodeAt(row.first + index) - 65;
          if (code < 0) continue;
          paint.fillStyle = color(code);
          paint.fillRect(gutter + index * size, row.y, size - gap, size - gap);
        }
      }
      if (printing) return;
      const row = rows.find((one) => cursor >= one.first && cursor < one.first + one.cells);
      if (row && document.activeElement === canvas) {
        paint.strokeStyle = ink;
        paint.lineWidth = 2;
        paint.strokeRect(gutter + (cursor - row.first) * size - 1, row.y - 1, size + 2 - gap, size + 2 - gap);
      }
    };

    const tell = (cell) => {
      if (cell < 0 || cell >= count) return;
      const first = pfnOf(cell), last = first + data.step - 1;
      const words = [];
      data.views.forEach((one) => {
        if (one.word === "entropy") return;
        const counts = one.facts[cell] || [];
        const parts = counts.map((n, tint) => (n ? `${n} ${one.tints[tint][0]}` : "")).filter(Boolean);
        if (parts.length) words.push(`${one.word}: ${parts.join(", ")}`);
      });
      const bits = data.entropy[cell];
      if (bits >= 0) words.push(`mean entropy ${(bits / 100).toFixed(2)} bits a byte`);
      info.textContent = (data.step > 1 ? `pfn ${hex(first)} to ${hex(last)}` : `pfn ${hex(first)}`) +
        `, address ${hex(first * 4096)}: ` + (words.length ? words.join("; ") : "not in the image");
    };

    const showLegend = () => {
      const title = document.createElement("li");
      title.textContent = data.views[view].title + ":";
      legend.replaceChildren(title, ...data.views[view].tints.flatMap((tint, index) => {
        const total = data.views[view].totals[index];
        if (!total) return [];
        const item = document.createElement("li"), swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = color(index);
        item.append(swatch, `${tint[0]} ${total.toLocaleString("en")}`);
        return item;
      }));
    };

    const refresh = () => { showLegend(); draw(); };

    const show = () => {
      const row = rows.find((one) => cursor >= one.first && cursor < one.first + one.cells);
      if (!row) return;
      const size = sizes[zoom], x = gutter + (cursor - row.first) * size;
      if (row.y < box.scrollTop) box.scrollTop = row.y;
      if (row.y + size > box.scrollTop + box.clientHeight) box.scrollTop = row.y + size - box.clientHeight;
      if (x + size > box.scrollLeft + box.clientWidth) box.scrollLeft = x + size - box.clientWidth;
      if (x < box.scrollLeft + gutter) box.scrollLeft = Math.max(0, x - gutter);
    };

    const setZoom = (next) => { zoom = Math.max(0, Math.min(sizes.length - 1, next)); draw(); show(); };
    const setView = (next) => {
      view = next;
      byID("map-view-" + next).checked = true;
      refresh();
    };

    canvas.addEventListener("mousemove", (event) => {
      const size = sizes[zoom], x = event.offsetX - gutter, y = event.offsetY;
      const row = rows.find((one) => y >= one.y && y < one.y + size);
      const index = Math.floor(x / size);
      if (row && x >= 0 && index < row.cells) tell(row.first + index);
    });
    canvas.addEventListener("click", (event) => {
      const size = sizes[zoom];
      const row = rows.find((one) => event.offsetY >= one.y && event.offsetY < one.y + size);
      const index = Math.floor((event.offsetX - gutter) / size);
      if (row && index >= 0 && index < row.cells) { cursor = row.first + index; tell(cursor); draw(); }
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across,
        PageUp: -10 * across, PageDown: 10 * across, Home: -count, End: count };
      if (event.key in steps) {
        cursor = Math.max(0, Math.min(count - 1, cursor + steps[event.key]));
        tell(cursor); draw(); show();
      } else if (event.key === "+" || event.key === "=") setZoom(zoom + 1);
      else if (event.key === "-") setZoom(zoom - 1);
      else if (/^[1-9]$/.test(event.key) && Number(event.key) <= data.views.length)
        setView(Number(event.key) - 1);
      else return;
      event.preventDefault();
    });
    canvas.addEventListener("focus", () => { tell(cursor); draw(); });
    canvas.addEventListener("blur", draw);
    data.views.forEach((one, index) =>
      byID("map-view-" + index).addEventListener("change", () => setView(index)));
    byID("map-in").addEventListener("click", () => setZoom(zoom + 1));
    byID("map-out").addEventListener("click", () => setZoom(zoom - 1));
    window.addEventListener("resize", draw);
    night.addEventListener("change", refresh);
    window.addEventListener("beforeprint", () => { printing = true; refresh(); });
    window.addEventListener("afterprint", () => { printing = false; refresh(); });
    refresh();
    })();

    """#
}
