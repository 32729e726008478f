// Which pages of two images differ.

package import Pages
package import SystemIO

/// The pages in which the images of two sources differ, as runs. Costs 56 bytes a run.
package func pageDifferences(_ a: Source, _ b: Source) throws -> [PageDifference] {
  var out: [PageDifference] = []
  let one = try PageImage(try a.duplicate())
  try one.forEachDifference(to: try PageImage(try b.duplicate())) { out.append($0) }
  return out
}
