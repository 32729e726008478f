// What the caller of the line editor can set.

/// A prompt and how it looks.
public struct Prompt: Equatable, Sendable {
  /// One line of text; control characters, and so escape sequences, are made visible.
  public var text: String
  /// How the prompt looks when colour is on.
  public var style: Style

  /// A prompt.
  public init(_ text: String, _ style: Style = .plain) {
    self.text = text
    self.style = style
  }
}

/// The settings of a `LineEditor`. The closures are called on the thread that reads the line, while
/// the terminal is in raw mode: they must not read from or write to it.
public struct LineEditorOptions {
  /// Shown before the first line of a block.
  public var prompt = Prompt("> ")
  /// Shown before each further line of a block.
  public var continuationPrompt = Prompt(">> ")
  /// Whether prompt and text are coloured; see `ColorChoice`.
  public var usesColor = false
  /// Tells whether the text of a block may be submitted. Called when Enter is pressed; false makes
  /// Enter insert a line break instead.
  public var isComplete: (_ text: String) -> Bool = { _ in true }
  /// The text to insert after a line break that Enter made. `cursor` is the UTF-8 byte offset of
  /// the line break; the line before it ends there.
  public var indentation: (_ text: String, _ cursor: Int) -> String = { _, _ in "" }
  /// What Tab inserts on a further line of a block when only blanks are before the cursor; empty
  /// makes Tab complete there too.
  public var tabText = "  "
  /// Finds completions. Called for Tab; `cursor` is a UTF-8 byte offset into `text`.
  public var completions: ((_ text: String, _ cursor: Int) -> Completions)?
  /// Colours the text. Called after each change of it when `usesColor` is true.
  public var coloring: ((_ text: String) -> [StyledRun])?
  /// Mode, bell and key bindings.
  public var input = InputSettings()
  /// Asked after each key and after each signal: true makes the read return `.interrupted` and
  /// forgets what was typed ahead. For callers that catch SIGINT themselves.
  public var isInterrupted: () -> Bool = { false }

  /// The default settings: prompts "> " and ">> ", each line complete, no colour, no completion.
  public init() {}
}
