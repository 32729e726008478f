// Binary search.

extension RandomAccessCollection {
  /// The first index from which on `isAfter` is true, or the end; before it, it is true of no element.
  @inlinable
  public func partitioningIndex<E: Error>(
    where isAfter: (Element) throws(E) -> Bool
  ) throws(E) -> Index {
    var (low, high) = (startIndex, endIndex)
    while low < high {
      let middle = index(low, offsetBy: distance(from: low, to: high) / 2)
      if try isAfter(self[middle]) { high = middle } else { low = index(after: middle) }
    }
    return low
  }
}
