// Where domains come from: the one list of back ends.

internal import Format
package import Live
package import SimDomain
internal import XenDomain

/// This program, also where its file has been replaced since it began.
package let ownProgram = "/proc/self/exe"
/// The word by which it is started to look after domains; nobody types it.
package let crashGuardWord = "--guard-domains"

/// The back ends of one run of the program. To add one, add it to `all`.
package final class Backends {
  package let simulated = SimBackend()

  package init() {}

  /// In the order in which a domain is looked for.
  package private(set) lazy var all: [any DomainBackend] = [
    XenBackend(crashGuardWords: [ownProgram, crashGuardWord]), simulated,
  ]

  /// All domains with their back ends.
  package func list() throws -> [(summary: DomainSummary, backend: any DomainBackend)] {
    var out: [(summary: DomainSummary, backend: any DomainBackend)] = []
    for backend in all {
      for summary in try backend.list() { out.append((summary, backend)) }
    }
    return out
  }

  /// The domain of a number, name or UUID; nil where there is none.
  package func open(
    _ word: String
  ) throws -> (summary: DomainSummary, domain: any ManagedDomain)? {
    for (summary, backend) in try list()
    where summary.name == word || summary.uuid == word.lowercased() || "\(summary.id)" == word {
      if let domain = try backend.open(summary.id) { return (summary, domain) }
    }
    return nil
  }
}
