// From a legacy stream to one of version 3.

internal import Bytes
public import Format
public import Stream
public import SystemIO

/// Converts what Xen 3.0 to 4.5 saved into a stream that newer Xens restore.
///
/// Memory is bounded whatever the stream says: a batch's entries, one blob of the tail, and for
/// compressed checkpoints what `PageInflater` states. Pages move without being looked at.
///
/// A file is walked over twice: first for its last complete checkpoint. A pipe is read once; where
/// a checkpoint does not say that it is the last, the rest goes through a scratch file. After the
/// end of a plain save nothing is read from a pipe. An HVM guest's libxl stream needs the device
/// model's record; without one there is an error, unless `skipsDeviceModel`.
public struct LegacyConverter {
  /// The outermost layer of the result.
  public enum Wrapping: Sendable {
    /// xl for xl; libxl for HVM guests (the device model's state has no other place) and for
    /// xend's; libxc for PV guests, and for files of HVM guests without a device model.
    case asInput
    case libxc
    case libxl
  }

  public struct Options: Sendable {
    /// The saving toolstack's width; told from the stream if nil.
    public var width: ToolstackWidth?
    /// The guest's type; told from the stream if nil.
    public var guest: GuestType?
    /// The release that the domain header states; 0.1, "converted", if nil.
    public var xenVersion: (major: UInt32, minor: UInt32)?
    public var wrapping = Wrapping.asInput
    /// Leaves the device model's record where it is, or out.
    public var skipsDeviceModel = false

    public init() {}
  }

  private let source: Source
  private let options: Options

  /// A converter of what `source` holds from its position on.
  public init(_ source: Source, options: Options = Options()) {
    self.source = source
    self.options = options
  }

  /// Writes the converted stream. What is in `sink` after an error is no stream.
  public func run(to sink: Sink) throws(StreamError) -> LegacyReport {
    var pass = ConversionPass(source, options, sink)
    return try pass.run()
  }
}
