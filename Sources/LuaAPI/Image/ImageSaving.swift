// Writing what a script or a session changed in an image, and saying so where nobody does.

internal import ImageEdit
internal import Jobs
internal import LuaRuntime
internal import Reports
internal import Stream
internal import SystemIO

extension LuaImage {
  static var savingMethods: [LuaMember<LuaImage>] {
    [
      .method(
        "save", "(path: string|table, options?: table): Report?, Error?",
        "Writes the image with the changes made to it: to a file (whole and verified, or not at all; "
          + "its pages are shared or moved, not read), or with { in_place = true } into its own file, "
          + "of which only the changed bytes are written, under an undo journal. The option unchecked = "
          + "true leaves out the verification. Afterwards the image continues as it is; saved in place, "
          + "its file has the changes. Nil and an error where it cannot be written or would not restore.",
        example: "img.config.c_info.name = \"web1\" print(assert(img:save \"web1.xlsave\"))"
      ) { image, frame in
        let isTable = frame.type(2) == .table
        let options = try OptionTable(
          frame, isTable ? 2 : 3, "save", isTable ? ["in_place", "unchecked"] : ["unchecked"])
        let isUnchecked = try options.flag("unchecked", false)
        guard isTable else {
          let path = try frame.string(2)
          guard path != "-" else {
            throw LuaError(
              "save: expected a file (xs.rewrite(img, \"-\") writes to standard output)")
          }
          return try image.save(frame, .file(path), isUnchecked)
        }
        guard try options.flag("in_place", false) else {
          throw frame.argumentError(2, "expected a path, or { in_place = true }")
        }
        return try image.save(frame, .inPlace, isUnchecked)
      },
      .method(
        "changes", "(): Report",
        "What was changed in the image and is not in its file, by path, as `diff` tells it. Printing it "
          + "gives a line a change.",
        example: "print(img:changes())"
      ) { image, frame in
        let document = try image.document()
        let report = try document.changes()
        frame.push(object: LuaReport(report, isOfWriting: false))
        return 1
      },
    ]
  }

  private func save(
    _ frame: LuaFrame, _ destination: Destination, _ isUnchecked: Bool
  ) throws -> Int32 {
    let document = try document()
    let source = try takeSource()
    if case .file(let path) = destination, OutputFile.isSame(path, as: [source.identity]) {
      throw LuaError("\(path): this is the image itself: img:save { in_place = true } changes it")
    }
    let report: ChangeReport
    do {
      if destination == .inPlace {
        guard document.isEdited else {
          frame.push(object: LuaReport(try document.changes(), isOfWriting: false))
          return 1
        }
        report = try saveInPlace(document, source, isUnchecked)
      } else {
        report = try EditJob(document: document, isUnchecked: isUnchecked)
          .write(source, to: destination)
      }
      markSaved()
      if destination == .inPlace { try reopen() }
    } catch {
      return try frame.fail(error)
    }
    frame.push(object: LuaReport(report))
    return 1
  }

  private func saveInPlace(
    _ document: ImageDocument, _ source: Source, _ isUnchecked: Bool
  ) throws -> ChangeReport {
    var claimed = source
    if source.edit == nil {
      claimed = try Source(editing: path)
      guard claimed.identity == source.identity, try source.isUnchanged() else {
        throw XensaveError(.changed, "\(path): not edited: another file has this name now")
      }
    }
    // The lock is let go with the source.
    return try EditJob(document: document, isUnchecked: isUnchecked).write(claimed, to: .inPlace)
  }
}

extension ShellContext {
  /// From now on a line says it where the changes to this image are lost.
  package func watch(_ image: LuaImage) {
    image.state = state
    image.onLoss = { [weak self] line in
      guard let self, self.reportsLoss else { return }
      self.log(.warning, line)
    }
    watched.removeAll { $0.image == nil }
    watched.append(WatchedImage(image))
  }

  /// Puts `end` in the place of Lua's own os.exit, which ends the process before anything is reported.
  /// `end` gets the exit code, from 0 to 255, and does not return or throws.
  package func replaceExit(_ end: @escaping (Int32) throws -> Void) {
    let frame = state.frame
    defer { frame.pop() }
    guard frame.pushGlobal("os") == .table else { return }
    frame.push(function: "exit") { frame in
      var code: Int64 = 0
      if frame.type(1) == .boolean {
        code = frame.boolean(1) ? 0 : 1
      } else if !frame.isMissing(1) {
        code = try frame.integer(1)
      }
      try end(Int32(truncatingIfNeeded: code & 0xFF))
      return 0
    }
    frame.setField("exit")
  }

  /// The open images with changes that were written nowhere.
  package var unsavedImages: [LuaImage] {
    watched.compactMap(\.image).filter(\.hasUnsavedEdits)
  }
}

extension LuaState {
  /// Opens something; where there are no descriptors left, what scripts have dropped gives its own back
  /// first.
  func opening<R>(_ open: () throws(SystemError) -> R) throws(SystemError) -> R {
    do { return try open() } catch {
      guard error.isOutOfDescriptors else { throw error }
      collectGarbage()
      return try open()
    }
  }
}

/// An image that a script may drop at any time.
struct WatchedImage {
  private(set) weak var image: LuaImage?
  init(_ image: LuaImage) { self.image = image }
}
