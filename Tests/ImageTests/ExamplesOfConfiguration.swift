// Examples for the rules of the configuration.

import TestKit

extension Example {
  private static func config(_ rule: String, _ text: String) -> Example {
    Example(rule, .hvm(), at: "xl", 52) { config(text, in: &$0) }
  }

  /// The configuration of an HVM guest with `fields` in its type.hvm and `more` beside that.
  private static func hvm(_ rule: String, _ fields: String, _ more: String = "") -> Example {
    config(
      rule,
      #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"max_memkb":8192,\#(more)"type.hvm":{\#(fields)}}}"#
    )
  }

  static let hvmConfigs: [Example] = [
    hvm("config.device-model", "", #""device_model_version":"none","#),
    hvm("config.device-model", #""bios":"rombios""#),
    hvm(
      "config.device-model", #""bios":"seabios""#,
      #""device_model_version":"qemu_xen_traditional","#),
    hvm("config.direct-boot", "", #""cmdline":"quiet","#),
    config(
      "config.video-memory",
      #"{"c_info":{"type":"pvh"},"b_info":{"max_memkb":8192,"video_memkb":0,"type.hvm":{}}}"#),
    hvm("config.video-memory", #""vga":{"kind":"std"}"#, #""video_memkb":8192,"#),
    hvm("config.video-memory", #""vga":{"kind":5}"#, #""video_memkb":8191,"#),
    // Where libxl stops, the rest is as if it was not there: the adapter is cirrus.
    hvm("config.video-memory", #""vga":{"kind":"1"}"#, #""video_memkb":4096,"#),
    hvm("config.video-memory", #""vga":{"kind":"qxl"}"#, #""video_memkb":65536,"#),
    hvm("config.usb", #""usb":"True","usbversion":2"#),
    hvm("config.usb", #""usbversion":4"#),
    hvm("config.usb", #""usbdevice":"tablet","usbdevice_list":["mouse"]"#),
    hvm("config.serial", #""serial":"pty","serial_list":["pty"]"#),
    hvm("config.vnc", #""vnc":{"listen":"127.0.0.1:1","display":2}"#),
    hvm("config.vnc", #""vnc":{"display":-1}"#),
    hvm("config.vnc", #""vnc":{"display":59636}"#),
    hvm("config.spice", #""spice":{"enable":"True"}"#),
    hvm("config.spice", #""spice":{"enable":"True","port":6000}"#),
    hvm("config.sound", #""soundhw":"drum""#),
    hvm("config.graphics", #""gfx_passthru":"True""#),
    hvm("config.boot", #""boot":"cc""#),
    hvm("config.boot", #""boot":"e""#),
    hvm("config.mca-capabilities", #""mca_caps":2"#),
    hvm("config.altp2m", "", #""altp2m":"mixed","nested_hvm":"True","#),
    hvm("config.altp2m", #""altp2m":"True""#, #""target_memkb":4096,"#),
    hvm("config.on-demand", "", #""target_memkb":4096,"vnuma_nodes":[{"pnode":0}],"#),
    Example("hvm-params.once", .hvm(), at: "HVM_PARAMS", 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(35, 2), (1, 1)]))
      config(
        #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"altp2m":"mixed","type.hvm":{}}}"#, in: &$0)
    },
    Example("hvm-params.once", .hvm(), at: "more", 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(5, 2), (1, 1)]))
      $0.insert(.init("more", StreamBuilder.params([(5, 3)]).bytes), after: "HVM_PARAMS")
    },
  ]

  /// A guest's configuration with `list` beside its parts.
  private static func device(_ rule: String, _ list: String, type: String = "hvm") -> Example {
    config(
      rule,
      #"{"c_info":{"type":"\#(type)","name":"a"},"b_info":{"type.\#(type)":{},"max_memkb":8192},\#(list)}"#
    )
  }

  static let deviceConfigs: [Example] = [
    device("config.disk-name", #""disks":[{"vdev":"nonsense"}]"#),
    device("config.disk-name", #""disks":[{"vdev":"xvda01"}]"#),
    device("config.disk-name", #""disks":[{}]"#),
    device("config.disk-twice", #""disks":[{"vdev":"xvdaa"},{"vdev":"xvdb"},{"vdev":"d26p0"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"empty"}]"#),
    device(
      "config.disk-format",
      #""disks":[{"vdev":"xvda","format":"empty","is_cdrom":1,"pdev_path":"/a"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"raw","backend":"tap"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"qcow2","backend":"phy"}]"#),
    device(
      "config.disk-format", #""disks":[{"vdev":"hda","is_cdrom":1,"backend":"phy","format":"raw"}]"#
    ),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"raw"}]"#),
    device(
      "config.disk-format", #""disks":[{"vdev":"xvda","pdev_path":"/a","transport":"mmio"}]"#),
    device(
      "config.disk-format",
      #""disks":[{"vdev":"xvda","pdev_path":"/a","format":"raw","backend":"standalone"}]"#),
    device("config.usb-controller", #""usbctrls":[{"type":"devicemodel"}]"#, type: "pvh"),
    device("config.usb-device", #""usbctrls":[{}],"usbdevs":[{"ctrl":1,"port":1}]"#),
    device("config.nic-type", #""nics":[{"nictype":"vif_ioemu"}]"#, type: "pvh"),
    device("config.channel", #""channels":[{"connection.pty":{}}]"#),
    device("config.channel", #""channels":[{"name":"a"}]"#),
    device("config.channel", #""channels":[{"name":"a","connection.socket":{}}]"#),
    device("config.usb-controller", #""usbctrls":[{"version":4}]"#),
    device("config.usb-controller", #""usbctrls":[{"version":1,"ports":3}]"#),
    device("config.usb-controller", #""usbctrls":[{"type":"qusb","version":3}]"#),
    device("config.passthrough", #""pcidevs":[{"dev":1}]"#, type: "pvh"),
    config(
      "config.passthrough",
      #"{"c_info":{"type":"hvm","name":"a","passthrough":"disabled"},"b_info":{"type.hvm":{}},"dtdevs":[{}]}"#
    ),
    hvm("config.available-vcpus", "", #""avail_vcpus":[0,1024],"#),
    hvm("config.available-vcpus", "", #""max_vcpus":2,"avail_vcpus":[0,1,2],"#),
    config(
      "config.on-demand",
      #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"max_memkb":8192,"target_memkb":4096,"type.hvm":{}},"pcidevs":[{"dev":1}]}"#
    ),
    device("config.disk-name", #""disks":[{"vdev":"xvd15"}]"#),
    device(
      "config.disk-readonly",
      #""disks":[{"vdev":"hda","pdev_path":"/a","format":"raw","backend":"qdisk"}]"#),
    device(
      "config.disk-format",
      #""disks":[{"vdev":"xvda","pdev_path":"/a","format":"qcow2","script":"a"}]"#),
    device("config.device-twice", #""nics":[{"devid":0},{}]"#),
    device("config.device-twice", #""vtpms":[{"devid":-2}]"#),
    device(
      "config.channel-twice",
      #""channels":[{"name":"a","devid":2,"connection.pty":{}},{"name":"b","connection.pty":{}}]"#),
    device(
      "config.value",
      #""channels":[{"name":"a","connection.pty":{},"connection.socket":{"path":"/a"}}]"#),
    device("config.vnc", #""vfbs":[{"vnc":{"display":70000}}]"#, type: "pvh"),
    device("config.usb-device", #""usbdevs":[{"port":1}]"#),
    device("config.passthrough", #""dtdevs":[{"path":"/a"}]"#),
  ]

  static let configs: [Example] = [
    config("config.sched", #"{"b_info":{"sched_params":{"cap":101}}}"#),
    config("config.sched", #"{"b_info":{"sched_params":{"sched":"credit","weight":0}}}"#),
    config("config.shadow", #"{"c_info":{"type":"pvh"},"b_info":{"type.pvh":{}}}"#),
    config("config.grant-frames", #"{"b_info":{"max_grant_frames":0}}"#),
    config("config.grant-version", #"{"b_info":{"max_grant_version":3}}"#),
    config("config.event-channels", #"{"b_info":{"event_channels":1}}"#),
    config("config.tsc-mode", #"{"b_info":{"tsc_mode":"native_paravirt"}}"#),
    config("config.affinity", #"{"b_info":{"max_vcpus":2,"vcpu_hard_affinity":[[0],[]]}}"#),
    config("config.affinity", #"{"b_info":{"vcpu_soft_affinity":[[0],[0]]}}"#),
    config("config.cpumap", #"{"b_info":{"max_vcpus":1,"cpumap":[0]}}"#),
    config("config.cpumap", #"{"b_info":{"max_vcpus":1,"cpumap":[0],"vcpu_hard_affinity":[]}}"#),
    config("config.affinity", #"{"b_info":{"max_vcpus":1,"vcpu_hard_affinity":[[0,-1]]}}"#),
    config("config.iomem", #"{"b_info":{"iomem":[{"start":160}]}}"#),
    config("config.iomem", #"{"b_info":{"iomem":[{"start":1099511627776,"number":1}]}}"#),
    config("config.irqs", #"{"b_info":{"irqs":[1,2147483648]}}"#),
    config("config.sched", #"{"b_info":{"sched_params":{"sched":"rtds","weight":0}}}"#),
    config(
      "config.deprecated",
      #"{"c_info":{"type":"pv"},"b_info":{"cmdline":"a","type.pv":{"cmdline":"a"}}}"#
    ),
    config(
      "config.deprecated",
      #"{"c_info":{"type":"hvm"},"b_info":{"apic":"True","type.hvm":{"apic":"False"}}}"#),
    config(
      "config.stub-domain",
      #"{"c_info":{"type":"pvh"},"b_info":{"device_model_stubdomain":"True","type.pvh":{}},"vfbs":[{}]}"#
    ),
    config("config.file-name", #"{"c_info":{"type":"hvm","name":"a/b"}}"#),
    config("config.file-name", #"{"c_info":{"type":"hvm","name":"a,b"}}"#),
    config("config.file-name", #"{"c_info":{"type":"hvm","name":"a=b"}}"#),
    config("config.tsc-mode", #"{"b_info":{"tsc_mode":"NATIVE_ParaVirt"}}"#),
    config("config.event-channels", #"{"b_info":{"event_channels":1e2}}"#),
    config(
      "config.event-channels",
      #"{"c_info":{"type":"hvm"},"b_info":{"event_channels":3,"type.hvm":{}}}"#),
    config("config.own-name", #"{"c_info":{"name":"Domain-0\u0000zz"}}"#),
    config(
      "config.vnuma",
      #"{"c_info":{"type":"pvh"},"b_info":{"max_vcpus":1,"vnuma_nodes":[{"vcpus":[0,5]}]}}"#),
    config("config.value", #"{"b_info":{"cpuid":{"cpuid":[]},"type.hvm":{}}}"#),
    config(
      "config.nested-shadow",
      #"{"c_info":{"type":"hvm","hap":"False"},"b_info":{"nested_hvm":"True","type.hvm":{}}}"#),
    config(
      "config.paging-pages", #"{"c_info":{"type":"pvh"},"b_info":{"shadow_memkb":17179869184}}"#),
    config("config.ioports", #"{"b_info":{"ioports":[{"first":65535,"number":2}]}}"#),
    config(
      "config.vnuma", #"{"c_info":{"type":"pv","name":"a"},"b_info":{"vnuma_nodes":[{"pnode":0}]}}"#
    ),
    config("config.vmtrace", #"{"c_info":{"type":"hvm"},"b_info":{"vmtrace_buf_kb":12}}"#),
    config("config.own-name", #"{"c_info":{"type":"pv"}}"#),
    config("config.own-name", #"{"c_info":{"name":"Domain-0"}}"#),
    config("config.value", #"{"c_info":{"uuid":"nonsense"}}"#),
    config("config.value", #"{"c_info":{"type":"xen"}}"#),
    config("config.type", #"{"c_info":{"type":5},"b_info":{"type.hvm":{}}}"#),
    config("config.type", #"{"c_info":{"type":"hvm"},"b_info":{"type.hvm":[]}}"#),
    config("config.type", "{}"),
    config("config.types-differ", #"{"c_info":{"type":"pvh"},"b_info":{"type.hvm":{}}}"#),
    config("config.built-type", #"{"c_info":{"type":"hvm"},"b_info":{"type.pvh":{}}}"#),
    config("config.built-type", #"{"c_info":{"type":"PV"},"b_info":{"type.pvh":{}}}"#),
    config("config.built-type", #"{"c_info":{"type":"pvh"},"b_info":{"type.pv":{}}}"#),
    config("config.value", #"{"b_info":{"type.hvm":{},"avail_vcpus":[0,2147483647]}}"#),
    config("config.lost", #"{"b_info":{"type.hvm":{}},"on_crash":"explode"}"#),
    config("config.lost", #"{"b_info":{"type.hvm":{}},"nics":[{"mac":"00:16:3e"}]}"#),
    config("config.ignored", #"{"c_info":{"uuid":5}}"#),
    config("config.unknown", #"{"c_info":{"uid":"a"}}"#),
    config("config.duplicate", #"{"c_info":{"name":"a","name":"b"}}"#),
    config("config.name", #"{"c_info":{"name":""}}"#),
    config("config.uuid", #"{"c_info":{"name":"a"}}"#),
    config("config.paging-memory", #"{"c_info":{"type":"pvh"},"b_info":{"shadow_memkb":0}}"#),
    config("config.paging-memory", #"{"c_info":{"type":"pvh"},"b_info":{"max_memkb":4096}}"#),
    config("config.paging-pages", #"{"c_info":{"type":"pvh"},"b_info":{"shadow_memkb":1023}}"#),
    config("config.vcpu-limit", #"{"c_info":{"type":"pvh"},"b_info":{"max_vcpus":129}}"#),
    config("config.memory-order", #"{"b_info":{"max_memkb":4,"target_memkb":64}}"#),
    Example("config.memory", .pv(), at: "xl", 52) { image in
      let pages = (0x100..<0x240).map { UInt64($0) }
      image.replace("X86_PV_P2M_FRAMES", StreamBuilder.p2m(start: 0, end: 0x23F, [4, 0x100]))
      image.insert(StreamBuilder.pages(pages), after: "PAGE_DATA")
      config(
        #"{"c_info":{"type":"pv"},"b_info":{"type.pv":{},"max_memkb":65536,"target_memkb":256}}"#,
        in: &image)
    },
    Example("config.memory", .hvm(), at: "xl", 52) { image in
      image.insert(
        StreamBuilder.pages((0x100..<0x260).map { UInt64($0) }), before: "PAGE_DATA")
      config(
        #"{"c_info":{"type":"hvm"},"b_info":{"type.hvm":{},"max_memkb":65536,"target_memkb":256}}"#,
        in: &image)
    },
    Example("config.emulator", .hvm(), at: "EMULATOR_XENSTORE_DATA") {
      config(StreamBuilder.config("pvh"), in: &$0)
    },
  ]
}
