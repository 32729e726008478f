// The hypervisor, as a restore sees it.

public import Format

/// The operations that a restore needs of a hypervisor: a domain that is being made. Every hook must
/// be implemented. They are called from one thread only. When one throws, the restore ends and
/// `discard` is called, which is the last call.
///
/// Order: setState (static), staticDataDone, { populate, setTypes, mapForWriting } or setState ...,
/// complete.
public protocol DomainBuilder: AnyObject {
  /// The guest that it was made for. A stream of another one is refused.
  var guestType: GuestType { get }

  /// The greatest number of pages that it takes, plus one: higher pfns are refused before memory is
  /// reserved for them. Read whenever pages come.
  var frameLimit: Int { get }

  /// Called once, when all static data have been set (streams of version 2: before the first other
  /// record). `missing`: which of X86_CPUID_POLICY and X86_MSR_POLICY the stream does not have, and
  /// the builder must make up.
  func staticDataDone(missing: [RecordType]) throws

  /// Gives the domain memory at `pfns`, which it does not have yet; contents do not matter. Called
  /// at most once a PAGE_DATA record, with ascending pfns as the record has them.
  func populate(_ pfns: [UInt64]) throws

  /// The types of pages, those without contents too. Called once a PAGE_DATA record. The last type
  /// of a page counts. (XTAB, BROKEN: no such page, or none that can be used.)
  func setTypes(_ entries: [PageEntry]) throws

  /// Lends the memory of `pfns`, for writing, in their order; a pfn may stand there twice. The
  /// builder takes it back when the lease goes. Page tables of PV guests are written with pfns in
  /// them: their frames are the builder's to put in, at the latest in `complete`.
  func mapForWriting(_ pfns: [UInt64]) throws -> PageLease

  /// The body of a record that is not about pages, in the order of the stream; in a checkpointed
  /// stream a later one replaces an earlier one. `vcpu` is given for the types that exist once a
  /// vCPU.
  func setState(_ type: RecordType, vcpu: Int?, _ body: [UInt8]) throws

  /// Makes it a domain that can run. Called once, when all is there.
  func complete() throws

  /// Called when the restore has failed: whatever was reserved may go.
  func discard()
}
