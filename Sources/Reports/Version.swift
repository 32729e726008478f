// What this program is.

/// The release of this program.
public let productVersion = "0.1.0"
