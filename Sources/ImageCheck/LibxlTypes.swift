// libxl's types of a domain's configuration, as a table: what its JSON parser takes, in its order.

internal import JSON

/// The types that `libxl_domain_config_from_json` reads. Xen: tools/libs/light/libxl_types.idl (before
/// 4.15 tools/libxl/libxl_types.idl) of RELEASE-4.6.0 to RELEASE-4.22.0.
///
/// A structure has its fields in the order in which libxl reads them, since 4.10: where it cannot convert
/// one, it stops, and what comes after it is lost. `name:type+15` has been there since 4.15, `-8` until
/// 4.8; of a branch the newest point release counts (pvshim came with 4.10.1). A field with a dot belongs
/// to a union: its name says which. Types are the words of `LibxlType`, other structures and enumerations
/// by name, and `[type]` for arrays. To add a field, write it where the IDL has it.
struct LibxlTypes: Sendable {
  /// A field of a structure.
  struct Field: Sendable {
    let name: String
    let type: LibxlType
    /// The minor numbers of Xen 4 that know it.
    let releases: ClosedRange<Int>
    /// "type" of `type.hvm`: which member of a union is there. nil for plain fields.
    let key: String?
    /// "hvm" of `type.hvm`.
    let member: String?
  }

  let structures: [String: [Field]]
  /// The values of enumerations and the releases that know them.
  let enumerations: [String: [(name: String, releases: ClosedRange<Int>)]]

  static let shared = LibxlTypes()

  private init() {
    var enumerations: [String: [(name: String, releases: ClosedRange<Int>)]] = [:]
    for (name, words) in LibxlTypes.sections(LibxlTypes.enumerationText) {
      enumerations[name] = words.map { LibxlTypes.releases($0) }
    }
    self.enumerations = enumerations
    var structures: [String: [Field]] = [:]
    for (name, words) in LibxlTypes.sections(LibxlTypes.structureText) {
      structures[name] = words.map { word in
        let parts = word.split(separator: UInt8(ascii: ":"))
        let (type, releases) = LibxlTypes.releases(parts[1])
        let union = parts[0].split(separator: UInt8(ascii: "."))
        return Field(
          name: String(Substring(parts[0])), type: LibxlType(type, enumerations.keys),
          releases: releases, key: union.count == 2 ? String(Substring(union[0])) : nil,
          member: union.count == 2 ? String(Substring(union[1])) : nil)
      }
    }
    self.structures = structures
  }

  /// Bytes of a word: to cut text by characters takes ten times as long, and every run that reads a
  /// configuration waits for it.
  private typealias Word = Substring.UTF8View

  /// "name =" and the words after it, up to the next.
  private static func sections(_ text: String) -> [(name: String, words: [Word])] {
    var out: [(name: String, words: [Word])] = []
    for line in Substring(text).utf8.split(separator: UInt8(ascii: "\n")) {
      let words = line.split(separator: UInt8(ascii: " "))
      if words.count == 2, words[1].elementsEqual("=".utf8) {
        out.append((String(Substring(words[0])), []))
      } else if !out.isEmpty {
        out[out.count - 1].words += words
      }
    }
    return out
  }

  /// The known minor numbers of Xen 4.
  static let known = 6...22

  /// A word without its releases, and these.
  private static func releases(_ word: Word) -> (name: String, releases: ClosedRange<Int>) {
    var (first, last) = (known.lowerBound, known.upperBound)
    var rest = word
    func cut(_ mark: UInt8, _ release: inout Int) {
      guard let place = rest.lastIndex(of: mark),
        let stated = Int(Substring(rest[rest.index(after: place)...]))
      else { return }
      release = stated
      rest = rest[..<place]
    }
    cut(UInt8(ascii: "-"), &last)
    cut(UInt8(ascii: "+"), &first)
    return (String(Substring(rest)), first...last)
  }

  private static let structureText = """
    domain_config =
      c_info:create_info b_info:build_info disks:[disk] nics:[nic] pcidevs:[pci] rdms:[rdm]
      dtdevs:[dtdev] vfbs:[vfb] vkbs:[vkb] virtios:[virtio]+18 vtpms:[vtpm] p9s:[p9]+10
      pvcallsifs:[pvcallsif]+11 vdispls:[vdispl]+10 vsnds:[vsnd]+12 p9:[p9]+9-9 channels:[channel]
      usbctrls:[usbctrl]+7 usbdevs:[usbdev]+7 on_poweroff:action_on_shutdown
      on_reboot:action_on_shutdown on_watchdog:action_on_shutdown on_crash:action_on_shutdown
      on_soft_reset:action_on_shutdown+7
    create_info =
      type:domain_type hap:defbool oos:defbool ssidref:u32 ssid_label:string name:string
      domid:u32+14 uuid:uuid xsdata:pairs platformdata:pairs poolid:u32 pool_name:string
      run_hotplug_scripts:defbool pvh:defbool-8 driver_domain:defbool passthrough:passthrough+13
      xend_suspend_evtchn_compat:defbool+14
    build_info =
      max_vcpus:int avail_vcpus:bitmap cpumap:bitmap nodemap:bitmap vcpu_hard_affinity:[bitmap]
      vcpu_soft_affinity:[bitmap] numa_placement:defbool tsc_mode:tsc_mode max_memkb:u64
      target_memkb:u64 video_memkb:u64 shadow_memkb:u64 iommu_memkb:u64+13 rtc_timeoffset:u32
      exec_ssidref:u32 exec_ssid_label:string localtime:defbool disable_migrate:defbool
      cpuid:cpuid blkdev_start:string vnuma_nodes:[vnode_info] max_grant_frames:u32+10
      max_maptrack_frames:u32+10 max_grant_version:int+16
      device_model_version:device_model_version device_model_stubdomain:defbool
      stubdomain_memkb:u64+14 stubdomain_kernel:string+14 stubdomain_cmdline:string+16
      stubdomain_ramdisk:string+14 device_model:string device_model_ssidref:u32
      device_model_ssid_label:string device_model_user:string+7 extra:strings extra_pv:strings
      extra_hvm:strings sched_params:sched_params ioports:[ioport_range] irqs:[u32]
      iomem:[iomem_range] llc_colors:[u32]+20 claim_mode:defbool event_channels:u32 kernel:string
      cmdline:string ramdisk:string device_tree:string acpi:defbool+8 bootloader:string+10
      bootloader_args:strings+10 bootloader_restrict:defbool+18 bootloader_user:string+18
      timer_mode:timer_mode+10 nested_hvm:defbool+10 apic:defbool+10 dm_restrict:defbool+10
      tee:tee_type+13 type.hvm:hvm type.pv:pv type.pvh:pvh+10 type.invalid:empty arch_arm:arch_arm
      arch_x86:arch_x86+15 altp2m:altp2m_mode+9 altp2m_count:u32+21 vmtrace_buf_kb:int+15
      vpmu:defbool+16 trap_unmapped_accesses:defbool+21 xenstore_feature_mask:u32+21
      xenstore_quota:xs_quota_list+22
    vnode_info =
      memkb:u64 distances:[u32] pnode:u32 vcpus:bitmap
    sched_params =
      sched:scheduler weight:int cap:int period:int budget:int extratime:int slice:int latency:int
    ioport_range =
      first:u32 number:u32
    iomem_range =
      start:u64 number:u64 gfn:u64
    hvm =
      firmware:string bios:bios_type pae:defbool apic:defbool acpi:defbool acpi_s3:defbool
      acpi_s4:defbool acpi_laptop_slate:defbool+9 nx:defbool viridian:defbool
      viridian_enable:bitmap viridian_disable:bitmap timeoffset:string hpet:defbool
      vpt_align:defbool mmio_hole_memkb:u64 timer_mode:timer_mode nested_hvm:defbool
      altp2m:defbool system_firmware:string+8 smbios_firmware:string smbios:[smbios]+18
      acpi_firmware:string hdtype:hdtype nographic:defbool vga:vga_interface_info vnc:vnc_info
      keymap:string sdl:sdl_info spice:spice_info gfx_passthru:defbool
      gfx_passthru_kind:gfx_passthru_kind+7 serial:string boot:string usb:defbool usbversion:int
      usbdevice:string vkb_device:defbool+13 soundhw:string xen_platform_pci:defbool
      xen_platform_pci_bar_uc:defbool+21 usbdevice_list:strings vendor_device:vendor_device
      ms_vm_genid:genid serial_list:strings rdm:rdm_reserve rdm_mem_boundary_memkb:u64
      mca_caps:u64+10 pirq:defbool+19
    vga_interface_info =
      kind:vga_interface_type
    vnc_info =
      enable:defbool listen:string passwd:string display:int findunused:defbool
    sdl_info =
      enable:defbool opengl:defbool display:string xauthority:string
    spice_info =
      enable:defbool port:int tls_port:int host:string disable_ticketing:defbool passwd:string
      agent_mouse:defbool vdagent:defbool clipboard_sharing:defbool usbredirection:int
      image_compression:string streaming_video:string
    rdm_reserve =
      strategy:rdm_reserve_strategy policy:rdm_reserve_policy
    pv =
      kernel:string slack_memkb:u64 bootloader:string bootloader_args:strings cmdline:string
      ramdisk:string e820_host:defbool
    arch_arm =
      gic_version:gic_version vuart:vuart_type+10 sve_vl:sve_type+18 nr_spis:u32+19
      arm_sci:arm_sci+21
    disk =
      backend_domid:u32 backend_domname:string pdev_path:string vdev:string backend:disk_backend
      format:disk_format script:string removable:int readwrite:int is_cdrom:int
      direct_io_safe:bool discard_enable:defbool specification:disk_specification+17
      transport:disk_transport+17 irq:u32+17 base:u64+17 colo_enable:defbool+7
      colo_restore_enable:defbool+7 colo_host:string+7 colo_port:int+7 colo_export:string+7
      active_disk:string+7 hidden_disk:string+7 trusted:defbool+17 grant_usage:defbool+19
    nic =
      backend_domid:u32 backend_domname:string devid:int mtu:int vlan:string+19 model:string
      mac:mac ip:string bridge:string ifname:string script:string nictype:nic_type
      rate_bytes_per_interval:u64 rate_interval_usecs:u32 gatewaydev:string
      coloft_forwarddev:string+7 colo_sock_mirror_id:string+9 colo_sock_mirror_ip:string+9
      colo_sock_mirror_port:string+9 colo_sock_compare_pri_in_id:string+9
      colo_sock_compare_pri_in_ip:string+9 colo_sock_compare_pri_in_port:string+9
      colo_sock_compare_sec_in_id:string+9 colo_sock_compare_sec_in_ip:string+9
      colo_sock_compare_sec_in_port:string+9 colo_sock_compare_notify_id:string+9
      colo_sock_compare_notify_ip:string+9 colo_sock_compare_notify_port:string+9
      colo_sock_redirector0_id:string+9 colo_sock_redirector0_ip:string+9
      colo_sock_redirector0_port:string+9 colo_sock_redirector1_id:string+9
      colo_sock_redirector1_ip:string+9 colo_sock_redirector1_port:string+9
      colo_sock_redirector2_id:string+9 colo_sock_redirector2_ip:string+9
      colo_sock_redirector2_port:string+9 colo_filter_mirror_queue:string+9
      colo_filter_mirror_outdev:string+9 colo_filter_redirector0_queue:string+9
      colo_filter_redirector0_indev:string+9 colo_filter_redirector0_outdev:string+9
      colo_filter_redirector1_queue:string+9 colo_filter_redirector1_indev:string+9
      colo_filter_redirector1_outdev:string+9 colo_compare_pri_in:string+9
      colo_compare_sec_in:string+9 colo_compare_out:string+9 colo_compare_notify_dev:string+9
      colo_sock_sec_redirector0_id:string+9 colo_sock_sec_redirector0_ip:string+9
      colo_sock_sec_redirector0_port:string+9 colo_sock_sec_redirector1_id:string+9
      colo_sock_sec_redirector1_ip:string+9 colo_sock_sec_redirector1_port:string+9
      colo_filter_sec_redirector0_queue:string+9 colo_filter_sec_redirector0_indev:string+9
      colo_filter_sec_redirector0_outdev:string+9 colo_filter_sec_redirector1_queue:string+9
      colo_filter_sec_redirector1_indev:string+9 colo_filter_sec_redirector1_outdev:string+9
      colo_filter_sec_rewriter0_queue:string+9 colo_checkpoint_host:string+9
      colo_checkpoint_port:string+9 trusted:defbool+17
    pci =
      func:u8 dev:u8 bus:u8 domain:int vdevfn:u32 vfunc_mask:u32 msitranslate:bool power_mgmt:bool
      permissive:bool seize:bool rdm_policy:rdm_reserve_policy name:string+15
    rdm =
      start:u64 size:u64 policy:rdm_reserve_policy
    dtdev =
      path:string
    vfb =
      backend_domid:u32 backend_domname:string devid:int vnc:vnc_info sdl:sdl_info keymap:string
    vkb =
      backend_domid:u32 backend_domname:string devid:int backend_type:vkb_backend+12
      unique_id:string+12 feature_disable_keyboard:bool+12 feature_disable_pointer:bool+12
      feature_abs_pointer:bool+12 feature_raw_pointer:bool+12 feature_multi_touch:bool+12
      width:u32+12 height:u32+12 multi_touch_width:u32+12 multi_touch_height:u32+12
      multi_touch_num_contacts:u32+12
    vtpm =
      backend_domid:u32 backend_domname:string devid:int uuid:uuid
    channel =
      backend_domid:u32 backend_domname:string devid:int name:string connection.unknown:empty
      connection.pty:empty connection.socket:channel_socket
    channel_socket =
      path:string
    usbctrl =
      type:usbctrl_type+7 devid:int+7 version:int+7 ports:int+7 backend_domid:u32+7
      backend_domname:string+7
    usbdev =
      ctrl:int+7 port:int+7 type.hostdev:usbdev_hostdev+7
    usbdev_hostdev =
      hostbus:u8+7 hostaddr:u8+7
    p9 =
      backend_domid:u32+9 backend_domname:string+9 tag:string+9 path:string+9
      security_model:string+9 devid:int+9 type:p9_type+19 max_space:int+19 max_files:int+19
      max_open_files:int+19 auto_delete:bool+19
    vdispl =
      backend_domid:u32+10 backend_domname:string+10 devid:int+10 be_alloc:bool+10
      connectors:[connector_param]+10
    connector_param =
      unique_id:string+12 id:string+10-11 width:u32+10 height:u32+10
    pvh =
      pvshim:defbool+10 pvshim_path:string+10 pvshim_cmdline:string+10 pvshim_extra:string+10
    pvcallsif =
      backend_domid:u32+11 backend_domname:string+11 devid:int+11
    vsnd =
      backend_domid:u32+12 backend_domname:string+12 devid:int+12 short_name:string+12
      long_name:string+12 params:vsnd_params+12 pcms:[vsnd_pcm]+12
    vsnd_params =
      sample_rates:[u32]+12 sample_formats:[vsnd_pcm_format]+12 channels_min:u32+12
      channels_max:u32+12 buffer_size:u32+12
    vsnd_pcm =
      name:string+12 params:vsnd_params+12 streams:[vsnd_stream]+12
    vsnd_stream =
      unique_id:string+12 type:vsnd_stream_type+12 params:vsnd_params+12
    arch_x86 =
      msr_relaxed:defbool+15
    smbios =
      key:smbios_type+18 value:string+18
    virtio =
      backend_domid:u32+18 backend_domname:string+18 type:string+18 transport:virtio_transport+18
      grant_usage:defbool+18 devid:int+18 irq:u32+18 base:u64+18
    arm_sci =
      type:arm_sci_type+21
    xs_quota_list =
      quota:[xs_quota_item]+22
    xs_quota_item =
      name:string+22 val:u32+22
    """

  private static let enumerationText = """
    domain_type =
      invalid hvm pv pvh+10
    tsc_mode =
      default always_emulate native native_paravirt
    device_model_version =
      unknown qemu_xen_traditional qemu_xen none+7-9
    scheduler =
      unknown sedf credit credit2 arinc653 rtds null+9
    bios_type =
      unknown rombios seabios ovmf
    timer_mode =
      unknown delay_for_missed_ticks no_delay_for_missed_ticks no_missed_ticks_pending
      one_missed_tick_pending
    hdtype =
      ide ahci
    vga_interface_type =
      cirrus std none qxl unknown+7
    vendor_device =
      none xenserver
    rdm_reserve_strategy =
      ignore host
    rdm_reserve_policy =
      invalid strict relaxed
    gic_version =
      default v2 v3
    disk_backend =
      unknown phy tap qdisk standalone+17
    disk_format =
      unknown qcow qcow2 vhd raw empty qed+9
    nic_type =
      unknown vif_ioemu vif
    action_on_shutdown =
      destroy restart restart_rename preserve coredump_destroy coredump_restart soft_reset+7
    gfx_passthru_kind =
      default+7 igd+7
    usbctrl_type =
      auto+7 pv+7 devicemodel+7 qusb+7
    altp2m_mode =
      disabled+9 mixed+9 external+9 limited+9
    vuart_type =
      unknown+10 sbsa_uart+10
    vkb_backend =
      unknown+12 qemu+12 linux+12
    vsnd_pcm_format =
      s8+12 u8+12 s16_le+12 s16_be+12 u16_le+12 u16_be+12 s24_le+12 s24_be+12 u24_le+12 u24_be+12
      s32_le+12 s32_be+12 u32_le+12 u32_be+12 f32_le+12 f32_be+12 f64_le+12 f64_be+12
      iec958_subframe_le+12 iec958_subframe_be+12 mu_law+12 a_law+12 ima_adpcm+12 mpeg+12 gsm+12
    vsnd_stream_type =
      p+12 c+12
    passthrough =
      default+13 disabled+13 enabled+13 sync_pt+13 share_pt+13
    tee_type =
      none+13 optee+13 ffa+18
    disk_specification =
      unknown+17 xen+17 virtio+17
    disk_transport =
      unknown+17 mmio+17
    smbios_type =
      bios_vendor+18 bios_version+18 system_manufacturer+18 system_product_name+18
      system_version+18 system_serial_number+18 baseboard_manufacturer+18
      baseboard_product_name+18 baseboard_version+18 baseboard_serial_number+18
      baseboard_asset_tag+18 baseboard_location_in_chassis+18 enclosure_manufacturer+18
      enclosure_serial_number+18 enclosure_asset_tag+18 battery_manufacturer+18
      battery_device_name+18 oem+18
    sve_type =
      hw+18 disabled+18 128+18 256+18 384+18 512+18 640+18 768+18 896+18 1024+18 1152+18 1280+18
      1408+18 1536+18 1664+18 1792+18 1920+18 2048+18
    virtio_transport =
      unknown+18 mmio+18
    p9_type =
      unknown+19 qemu+19 xen_9pfsd+19
    arm_sci_type =
      none+21 scmi_smc+21
    """
}

/// A type of a field.
indirect enum LibxlType: Sendable {
  /// "True", "False" or "<default>", as text.
  case defbool
  case bool
  /// A signed integer of 32 bits, and unsigned ones.
  case int, u8, u16, u32, u64
  case uuid, mac, string
  /// Numbers of bits that are set.
  case bitmap
  case strings
  /// Names with texts.
  case pairs
  case cpuid
  /// 16 bytes.
  case genid
  /// The member of a union that holds nothing.
  case empty
  case enumeration(String)
  case structure(String)
  case array(LibxlType)

  init(_ text: String, _ enumerations: some Collection<String>) {
    if text.utf8.first == UInt8(ascii: "[") {
      self = .array(LibxlType(String(text.dropFirst().dropLast()), enumerations))
    } else if let type = LibxlType.words[text] {
      self = type
    } else {
      self = enumerations.contains(text) ? .enumeration(text) : .structure(text)
    }
  }

  private static let words: [String: LibxlType] = [
    "defbool": .defbool, "bool": .bool, "int": .int, "u8": .u8, "u16": .u16, "u32": .u32,
    "u64": .u64, "uuid": .uuid, "mac": .mac, "string": .string, "bitmap": .bitmap,
    "strings": .strings, "pairs": .pairs, "cpuid": .cpuid, "genid": .genid, "empty": .empty,
  ]
}
