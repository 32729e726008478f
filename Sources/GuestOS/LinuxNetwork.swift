// Network devices and sockets of a Linux guest.

internal import Bytes
internal import Pages

/// A network device.
public struct LinuxNetDevice: Sendable, Equatable {
  public let index: Int
  public let name: String
  /// "52:54:00:12:34:56"; empty where it has none.
  public let hardwareAddress: String
  public let mtu: UInt64
  public let isUp: Bool
  public let isRunning: Bool
  /// "10.0.0.2/24", "fe80::1/64".
  public let addresses: [String]
}

/// A socket that a process has open.
public struct LinuxSocket: Sendable, Equatable {
  public let pid: Int
  public let process: String
  public let descriptor: Int
  /// "tcp", "udp", "tcp6", "unix", "netlink", ...
  public let protocolName: String
  public let state: String
  public let local: String
  public let remote: String
}

extension LinuxGuest {
  /// The network devices of the first namespace.
  public func netDevices() throws -> Listing<LinuxNetDevice> {
    try memory.question {
      let net = try symbol("init_net")
      let head = try field("net", "dev_base_head")
      let node = try field("net_device", "dev_list")
      return memory.list(net &+ head.offset, node.offset, limit: 1 << 14)
        .reading("network device", netDevice)
    }
  }

  private func netDevice(_ device: UInt64) throws -> LinuxNetDevice {
    let type = "net_device"
    let name = try field(type, "name")
    let length = min(32, Int(clamping: try value(device, type, "addr_len")))
    let address = try value(device, type, "dev_addr")
    let bytes = length == 0 || address == 0 ? [] : try memory.read(address, length)
    let flags = try value(device, type, "flags")
    // IFF_UP; carrier: the second bit of the state, __LINK_STATE_NOCARRIER, is clear.
    let state = try value(device, type, "state")
    return LinuxNetDevice(
      index: Int(clamping: try value(device, type, "ifindex")),
      name: try memory.text(device &+ name.offset, limit: 16),
      hardwareAddress: bytes.map { [$0].hexDigits }.joined(separator: ":"),
      mtu: try value(device, type, "mtu"), isUp: flags & 1 != 0,
      isRunning: flags & 1 != 0 && state & 4 == 0, addresses: addresses(of: device))
  }

  private func addresses(of device: UInt64) -> [String] {
    var out: [String] = []
    if let inner = try? value(device, "net_device", "ip_ptr"), inner != 0,
      let first = try? value(inner, "in_device", "ifa_list"),
      let next = optionalField("in_ifaddr", "ifa_next")
    {
      for item in memory.chain(first, next, limit: 4096).items {
        guard let field = optionalField("in_ifaddr", "ifa_address"),
          let bytes = try? memory.read(item &+ field.offset, 4),
          let length = try? value(item, "in_ifaddr", "ifa_prefixlen")
        else { continue }
        out.append("\(NetworkText.ipv4(bytes))/\(length)")
      }
    }
    if let inner = try? value(device, "net_device", "ip6_ptr"), inner != 0,
      let head = optionalField("inet6_dev", "addr_list"),
      let node = optionalField("inet6_ifaddr", "if_list")
    {
      for item in memory.list(inner &+ head.offset, node.offset, limit: 4096).items {
        guard let field = optionalField("inet6_ifaddr", "addr"),
          let bytes = try? memory.read(item &+ field.offset, 16),
          let length = try? value(item, "inet6_ifaddr", "prefix_len")
        else { continue }
        out.append("\(NetworkText.ipv6(bytes))/\(length)")
      }
    }
    return out
  }

  // MARK: - Sockets

  /// The sockets that processes have open, by their files.
  public func sockets() throws -> Listing<LinuxSocket> {
    try memory.question {
      let tasks = try self.tasks()
      var out = Listing<LinuxSocket>()
      out.problem = tasks.problem
      for task in tasks.items where task.mm != 0 {
        guard let files = try? files(of: task) else { continue }
        out.problem = out.problem ?? files.problem
        for file in files.items where file.path.hasPrefix("socket:[") {
          guard out.items.count < 1 << 16 else {
            out.problem = "there are more than \(1 << 16) sockets"
            return out
          }
          do { out.items.append(try socket(task, file)) } catch {
            out.problem = out.problem ?? "socket at \(file.address.hex()): \(error)"
          }
        }
      }
      return out
    }
  }

  private func socket(_ task: LinuxTask, _ file: LinuxFile) throws -> LinuxSocket {
    let socket = try value(file.address, "file", "private_data")
    let sock = try value(socket, "socket", "sk")
    guard sock != 0 else {
      return LinuxSocket(
        pid: task.pid, process: task.name, descriptor: file.descriptor, protocolName: "?",
        state: "closed", local: "", remote: "")
    }
    let family = try value(sock, "sock_common", "skc_family")
    let kind = try value(sock, "sock", "sk_type")
    let protocolID = try value(sock, "sock", "sk_protocol")
    let state = try value(sock, "sock_common", "skc_state")
    var (name, local, remote) = (NetworkText.family(family), "", "")
    if family == 2 || family == 10 {
      name = NetworkText.transport(protocolID, kind) + (family == 10 ? "6" : "")
      func host(_ v4: String, _ v6: String) throws -> String {
        let field = try self.field("sock_common", family == 10 ? v6 : v4)
        let bytes = try memory.read(sock &+ field.offset, family == 10 ? 16 : 4)
        return family == 10 ? "[\(NetworkText.ipv6(bytes))]" : NetworkText.ipv4(bytes)
      }
      local =
        "\(try host("skc_rcv_saddr", "skc_v6_rcv_saddr")):"
        + "\(try value(sock, "sock_common", "skc_num"))"
      let port = UInt16(truncatingIfNeeded: try value(sock, "sock_common", "skc_dport")).byteSwapped
      remote = "\(try host("skc_daddr", "skc_v6_daddr")):\(port)"
    } else if family == 1, let place = optionalField("unix_sock", "addr") {
      let address = try memory.value(sock, place)
      if address != 0, let field = optionalField("unix_address", "name") {
        // A path after the family; an abstract name begins with a zero.
        let length = min(108, Int(clamping: try value(address, "unix_address", "len")) - 2)
        let bytes = length > 0 ? try memory.read(address &+ field.offset &+ 2, length) : []
        local =
          bytes.first == 0
          ? "@" + String(decoding: bytes.dropFirst(), as: UTF8.self)
          : String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
    }
    return LinuxSocket(
      pid: task.pid, process: task.name, descriptor: file.descriptor, protocolName: name,
      state: NetworkText.state(state, isTCP: protocolID == 6 && family != 1, kind), local: local,
      remote: remote)
  }
}

/// Numbers of the network's protocols as people read them.
enum NetworkText {
  static func ipv4(_ bytes: [UInt8]) -> String { bytes.map { "\($0)" }.joined(separator: ".") }

  /// RFC 5952: no leading zeros, and the longest run of zeros is left out.
  static func ipv6(_ bytes: [UInt8]) -> String {
    let groups = stride(from: 0, to: bytes.count - 1, by: 2).map {
      UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
    }
    var best = 0..<0
    var start = 0
    while start < groups.count {
      var end = start
      while end < groups.count, groups[end] == 0 { end += 1 }
      if end - start > max(1, best.count) { best = start..<end }
      start = max(end, start + 1)
    }
    func text(_ part: ArraySlice<UInt16>) -> String {
      part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    if best.isEmpty { return text(groups[...]) }
    return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
  }

  static func family(_ family: UInt64) -> String {
    [
      1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock", 38: "alg",
      31: "bluetooth", 29: "can", 44: "xdp",
    ][family] ?? "family \(family)"
  }

  static func transport(_ protocolID: UInt64, _ kind: UInt64) -> String {
    switch protocolID {
    case 6: "tcp"
    case 17: "udp"
    case 1, 58: "icmp"
    case 132: "sctp"
    default: kind == 3 ? "raw" : "protocol \(protocolID)"
    }
  }

  /// Linux: include/net/tcp_states.h.
  static func state(_ state: UInt64, isTCP: Bool, _ kind: UInt64) -> String {
    let names = [
      "", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "close",
      "close-wait", "last-ack", "listen", "closing", "new-syn-recv",
    ]
    guard state > 0, state < UInt64(names.count) else { return "state \(state)" }
    // Sockets without connections are "close" while nobody has connected them.
    if !isTCP, state == 7, kind != 1 { return "unconnected" }
    return names[Int(state)]
  }
}
