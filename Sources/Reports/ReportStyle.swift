// How the pages of reports look.

enum ReportStyle {
  /// The style sheet. Colours are variables: for white paper, for black, and for print.
  static let text = """

    :root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --faint: #5b6470; --rule: #d5dae0;
      --panel: #f5f7f9; --link: #0b57a4; --bad: #b3261e; --warn: #8a5a00; --good: #1d6f3a; --mark: #ffe28a;
      --f0: #dcebfa; --f1: #e3f4e1; --f2: #fbe9d7; --f3: #efe3f7; }
    @media (prefers-color-scheme: dark) { :root { --paper: #16181c; --ink: #e4e7eb; --faint: #9aa4b1;
      --rule: #3a3f47; --panel: #1f2329; --link: #8ec1ff; --bad: #ff8a80; --warn: #f5c26b; --good: #7fd69a;
      --mark: #6b5500; --f0: #1d3550; --f1: #1f3d25; --f2: #4a331c; --f3: #3a2848; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
    header, main { max-width: 75rem; margin: 0 auto; padding: 0 1.25rem; }
    h1 { font-size: 1.4rem; margin: 1.2rem 0 0.4rem; overflow-wrap: anywhere; }
    h2 { font-size: 1.15rem; margin: 2rem 0 0.6rem; padding-bottom: 0.2rem; border-bottom: 1px solid var(--rule); }
    h3 { font-size: 1rem; margin: 1.2rem 0 0.4rem; overflow-wrap: anywhere; }
    a { color: var(--link); }
    nav a { margin-right: 1rem; white-space: nowrap; }
    .skip { position: absolute; left: -99rem; }
    .skip:focus { left: 0.5rem; top: 0.5rem; background: var(--paper); padding: 0.3rem 0.6rem; }
    :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
    th, td { text-align: left; vertical-align: top; padding: 0.15rem 1rem 0.15rem 0; overflow-wrap: anywhere; }
    thead th { border-bottom: 1px solid var(--rule); color: var(--faint); font-weight: 600; }
    .pairs th { color: var(--faint); font-weight: 600; white-space: nowrap; }
    .num { text-align: right; white-space: nowrap; }
    .wide { overflow-x: auto; }
    .wide td { overflow-wrap: normal; }
    pre, code, .hex, .fields { font-family: ui-monospace, monospace; font-size: 12.5px; }
    pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 4px; padding: 0.6rem 0.8rem;
      overflow: auto; max-height: 30rem; margin: 0.5rem 0; }
    details { border: 1px solid var(--rule); border-radius: 4px; margin: 0.35rem 0; padding: 0 0.8rem; }
    details[open] { padding-bottom: 0.6rem; }
    summary { cursor: pointer; padding: 0.3rem 0; overflow-wrap: anywhere; }
    .error td:first-child, .bad { color: var(--bad); font-weight: 600; }
    .warning td:first-child { color: var(--warn); font-weight: 600; }
    .good { color: var(--good); font-weight: 600; }
    .faint { color: var(--faint); }
    .record { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
    .record > * { max-width: 100%; overflow-x: auto; }
    .fields { flex: 1 1 22rem; max-height: 24rem; overflow-y: auto; }
    .fields th { font-weight: 400; padding-left: 0.3rem; }
    .hex { margin: 0; }
    .f0 { background: var(--f0); } .f1 { background: var(--f1); } .f2 { background: var(--f2); }
    .f3 { background: var(--f3); }
    .on { background: var(--mark); }
    fieldset { border: 0; margin: 0.4rem 0; padding: 0; }
    legend { float: left; padding: 0; margin-right: 0.8rem; color: var(--faint); }
    label { margin-right: 1rem; white-space: nowrap; }
    button { font: inherit; min-width: 2.2rem; color: inherit; background: var(--panel);
      border: 1px solid var(--rule); border-radius: 4px; cursor: pointer; }
    .map-box { overflow: auto; max-height: 70vh; border: 1px solid var(--rule); border-radius: 4px;
      background: var(--panel); }
    .map-box canvas { display: block; }
    .map-info { min-height: 3em; margin: 0.5rem 0; font-variant-numeric: tabular-nums; }
    .map-legend { list-style: none; margin: 0.5rem 0; padding: 0; display: flex; flex-wrap: wrap;
      gap: 0.2rem 1.2rem; }
    .swatch { display: inline-block; width: 0.85em; height: 0.85em; margin-right: 0.4em; vertical-align: -0.05em;
      border: 1px solid var(--rule); }
    @media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --faint: #444; --rule: #bbb;
      --panel: #fff; --link: #000; --bad: #8a0000; --warn: #5a3b00; --good: #004d1a; --mark: #ddd;
      --f0: #e8f0f8; --f1: #ebf5ea; --f2: #faf0e5; --f3: #f3ecf8; }
      body { font-size: 10pt; } header, main { max-width: none; padding: 0; }
      nav, .skip, .controls { display: none; }
      pre, .fields, .map-box, .wide { max-height: none; overflow: visible; white-space: pre-wrap; }
      .map-box canvas { max-width: 100%; height: auto; }
      h2, h3, summary { break-after: avoid; } tr, canvas { break-inside: avoid; }
      * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }

    """
}
