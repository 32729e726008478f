---@meta xensave
-- The module `xensave` for the Lua language server.
-- Made from the program's declarations by `scripts/docs`.
-- luacheck: ignore

---@alias xensave.FilterResult nil|false|"keep"|"drop"|"stop"|xensave.Record
---@alias xensave.FilterFunction fun(rec: xensave.Record): xensave.FilterResult, ...
---@alias xensave.Filter xensave.FilterFunction|xensave.FilterTable|xensave.Chain
---@alias xensave.HeaderFunction fun(header: xensave.Header)

---The second result of what failed because of the world outside.
---@class xensave.Error
---@field message string
---@field code string A word of the table of error codes, the symbol of errno, or an operation.
---@field path string?
---@field offset integer?
---@field record string?
---@field errno integer?
---@field stage string?
---@field hint string?
---@field exit_code integer?
---@field aftermath string[]?

---A saved domain that is open for reading. `local img <close> = xs.open(path)`.
---@class xensave.Image
---@field path string The file's name, as it was given.
---@field guest string "x86_pv", or "x86_hvm" for HVM and PVH guests.
---@field version integer Version of the libxc stream: 2 or 3.
---@field layer string The outermost layer: "xl", "libvirt", "xenopsd", "libxl" or "libxc"; "legacy" before anything else was asked of such an image.
---@field vcpu xensave.VCPUs The vCPUs by number, with their registers.
---@field linux xensave.Linux What its Linux guest was doing. Raises an error where there is none, or the image lacks its pages.
---@field hvm_params xensave.HVMParams? The HVM parameters by name; nil for PV guests.
---@field cpuid xensave.CPUID? What CPUID tells the guest; nil where the image has no policy.
---@field xl_header xensave.Header? The xl header, or nil.
---@field libxl_header xensave.Header? The libxl stream header, or nil.
---@field image_header xensave.Header? The libxc image header.
---@field domain_header xensave.Header? The libxc domain header.
---@field libvirt_header xensave.Header? libvirt's header, or nil.
---@field draft_domain_header xensave.Header? The domain header of draft B, or nil.
---@field config xensave.Config? The domain's configuration in the xl header, as a table that writes back.
---@field xml xensave.Tree? The domain's XML in libvirt's header, as a tree that writes back.
---@field xenops xensave.Tree? What xenopsd's Xenops record says, as a tree that writes back.
local Image = {}

---Iterates over the records (of one type) in the order of the stream. Each is valid until the
---next.
---
---```lua
---for rec in img:records() do print(rec) end
---```
---@param type? string|integer
---@return fun(): xensave.Record
function Image:records(type) end

---The first record of a type, or nil.
---
---```lua
---local params = img:first "HVM_PARAMS"
---```
---@param type string|integer
---@return xensave.Record?
function Image:first(type) end

---Checks the image with the changes made to it; see xs.verify.
---@return xensave.Verification
function Image:verify() end

---Closes the file. Later use of the image raises.
function Image:close() end

---Writes the image with the changes made to it: to a file (whole and verified, or not at all;
---its pages are shared or moved, not read), or with { in_place = true } into its own file, of
---which only the changed bytes are written, under an undo journal. The option unchecked = true
---leaves out the verification. Afterwards the image continues as it is; saved in place, its
---file has the changes. Nil and an error where it cannot be written or would not restore.
---
---```lua
---img.config.c_info.name = "web1" print(assert(img:save "web1.xlsave"))
---```
---@param path string|table
---@param options? table
---@return xensave.Report?
---@return xensave.Error?
function Image:save(path, options) end

---What was changed in the image and is not in its file, by path, as `diff` tells it. Printing
---it gives a line a change.
---
---```lua
---print(img:changes())
---```
---@return xensave.Report
function Image:changes() end

---Converts the image into a file (written whole, verified and renamed, or not at all) or to
---"-". Options: version = 1 (draft B), 2 or 3; order = "little" or "big"; layer = "libxc",
---"libxl", "xl", "libvirt" or "xenopsd"; config = text for the outer header; xen = the saver's
---release, where draft B does not say it; lossy = true leaves out what the result cannot hold;
---unchecked = true leaves out the verification; guest = "x86_pv" or "x86_hvm", refused where
---the image has another; suits = a release of Xen, refused where it would not restore the
---result; release = a release that the result is for, as in for_xen; progress =
---xs.progress(title).
---
---```lua
---assert(img:convert("new.img", { version = 3, layer = "xl" }))
---```
---@param destination string
---@param options table
---@return xensave.Conversion?
---@return xensave.Error?
function Image:convert(destination, options) end

---Writes an image that a release of Xen restores, 4.6 or later: what that cannot hold is
---leveled, cut or dropped, and refused by name where the guest needs it. Options: lossy = true
---leaves out what the guest could miss; host = what `xensave-lua host` prints on the
---destination, as text; unchecked = true leaves out the verification. The member `changes` of
---the result lists what was done.
---
---```lua
---for _, c in ipairs(assert(img:for_xen("4.17", "new.img")).changes) do print(c.place, c.text) end
---```
---@param release string
---@param destination string
---@param options table?
---@return xensave.Conversion?
---@return xensave.Error?
function Image:for_xen(release, destination, options) end

---Whether a release of Xen restores the image, and why: a list of tables with severity
---("error" speaks against it), subject and text. Then what for_xen would do: a list of tables
---with action (set, leveled, cut, dropped, refused), place and text.
---
---```lua
---local ok, reasons, changes = img:compat("4.17")
---```
---@param release string
---@return boolean
---@return table[]
---@return table[]
function Image:compat(release) end

---The pages that a selector is true of, as a restore would see them: the last occurrence of
---each. One native pass.
---
---```lua
---local zeros = img:select(xs.pages.zero)
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@return xensave.PageSet
function Image:select(selector) end

---How many pages a selector is true of (all without one); with a table of selectors by name, a
---table of numbers by the same names. One native pass for all.
---
---```lua
---local n = img:count { data = xs.pages.has_data, zero = xs.pages.zero }
---```
---@param selectors? table|xensave.Selector|xensave.PageSet|string
---@return any
function Image:count(selectors) end

---Iterates over the selected pages that have contents, ascending: pfn and a view, which is
---valid until the loop has gone 64 pages further. Cannot be written.
---
---```lua
---for pfn, view in img:each(xs.pages.pfn(0, 0xff)) do print(pfn, view:u8(0)) end
---```
---@param selector? xensave.Selector|xensave.PageSet|string
---@return fun(): integer
---@return xensave.View
function Image:each(selector) end

---Finds pages with the same contents; every match is compared byte by byte. Options: with (a
---list of further images to count in). 64 to 128 bytes of memory a distinct page.
---
---```lua
---print(img:dedupe().distinct)
---```
---@param options? table
---@return xensave.Duplicates
function Image:dedupe(options) end

---Iterates over the pages in which two images differ, as runs of one kind: first, last, count,
---kind ("contents", "type", "only_in_first", "only_in_second"), and types where these differ.
---
---```lua
---for d in a:diff_pages(b) do print(xs.hex(d.first), d.count, d.kind) end
---```
---@param other xensave.Image
---@return fun(): table?
function Image:diff_pages(other) end

---The contents of a page as a restore would see it. Options: version (which of its occurrences
---in the stream, from 1; see history). Nil and an error where the image has no such contents.
---
---```lua
---print(img:page(0x10):hexdump())
---```
---@param pfn integer
---@param options? table
---@return xensave.View?
---@return xensave.Error?
function Image:page(pfn, options) end

---Every occurrence of a page in the stream, as a list: type, offset (of its contents in the
---file), round, checkpoint, and last (whether a restore ends up with it).
---
---```lua
---for n, h in ipairs(img:history(0x10)) do print(n, h.type, h.round) end
---```
---@param pfn integer
---@return table
function Image:history(pfn) end

---Where bytes stand in the guest's physical memory: a list of addresses (at most limit, 1000),
---and in count how many there are. Options: encoding ("bytes", "utf16" for UTF-8 text as
---Windows keeps it, or "regex" for a POSIX extended regular expression), where (a selector),
---limit.
---
---```lua
---for _, address in ipairs(img:search "root:") do print(xs.hex(address)) end
---```
---@param text string
---@param options? table
---@return table
function Image:search(text, options) end

---The entropy of the selected pages that have contents, in bits a byte: count, mean, least,
---most, and histogram (nine numbers: how many pages have 0 to 1 bits, 1 to 2, ... and 8).
---
---```lua
---print(img:entropy(xs.pages.has_data).mean)
---```
---@param selector? xensave.Selector|xensave.PageSet|string
---@return table
function Image:entropy(selector) end

---Bytes of the guest's memory by their physical address, at most 64 MiB. Nil and an error
---where the image does not have them.
---
---```lua
---print(img:physical(0x1000, 64):hexdump())
---```
---@param address integer
---@param count integer
---@return xensave.View?
---@return xensave.Error?
function Image:physical(address, count) end

---Writes an image with each page once: what a restore ends up with. Options: aligned = true
---begins contents at multiples of 4096 bytes and makes zeros holes, unchecked = true leaves
---out the verification. Gives pages, dropped, holes, octets_read, octets_written.
---
---```lua
---assert(img:compact("small.img", { aligned = true }))
---```
---@param path string
---@param options? table
---@return table?
---@return xensave.Error?
function Image:compact(path, options) end

---Writes what of a newer image differs from this one. Gives changed_pages, octets_from_base,
---octets_in_delta, octets_written.
---
---```lua
---assert(base:delta("monday.delta", img))
---```
---@param path string
---@param new xensave.Image
---@return table?
---@return xensave.Error?
function Image:delta(path, new) end

---Writes the image that a delta makes of this one; the wrong base is refused. Gives
---changed_pages and octets_written.
---
---```lua
---assert(base:apply("new.img", "monday.delta"))
---```
---@param path string
---@param delta string
---@return table?
---@return xensave.Error?
function Image:apply(path, delta) end

---Writes the guest's memory for other tools: "raw", "lime", "xen-core" or "elf-core". Gives
---pages, vcpus, ranges, octets_written.
---
---```lua
---assert(img:export("vm.core", "elf-core"))
---```
---@param path string
---@param format string
---@return table?
---@return xensave.Error?
function Image:export(path, format) end

---A record. Besides the members below it has the fields of its type by their names in the
---specification; assigning to one writes it. Valid during the call of the filter that got it;
---a copy stays.
---@class xensave.Record
---@field type string The record type's name in the specification; a number in hexadecimal if it is unknown.
---@field type_id integer The record type's number.
---@field layer string "libxc" or "libxl": whose record it is.
---@field xenops xensave.Tree? What xenopsd's Xenops record says, as a tree that writes back; nil for other records.
---@field index integer Position in the stream, from 1; 0 for a new one.
---@field offset integer Bytes from the start of the image to the record's header. Unit: bytes.
---@field length integer Bytes of the body, without padding. Unit: bytes.
---@field optional boolean Whether a reader that does not know it may ignore it.
---@field checkpoint integer Number of the checkpoint, from 0; 0 in plain streams.
---@field body xensave.View The body's bytes: all of it, or (PAGE_DATA, large blobs) the header before the bulk.
local Record = {}

---The field at a path such as "param[0].value": for names that are also members.
---
---```lua
---rec:get("index")
---```
---@param path string
---@return any
function Record:get(path) end

---Writes the field at a path. Values that do not fit raise.
---
---```lua
---rec:set("param[0].value", 0xff000)
---```
---@param path string
---@param value any
function Record:set(path, value) end

---All fields of the body with their values, as a table.
---@return table
function Record:fields() end

---Iterates over the record's elements: params, leaves, msrs, entries of HVM_CONTEXT (with a
---name: only those of that type), sections of EMULATOR_CONTEXT (by device). Of PAGE_DATA over
---the selected pages that have contents: pfn and a view, which in a filter may be written to.
---Outside of a filter a view is valid until the loop has gone 64 pages further.
---
---```lua
---for cpu in rec:each "CPU" do print(cpu.instance, cpu.rip) end
---```
---@param what? string|xensave.Selector|xensave.PageSet
---@return fun(): any
---@return xensave.View
function Record:each(what) end

---The first element whose fields have these values, or nil.
---
---```lua
---local leaf7 = rec:find { leaf = 7, subleaf = 0 }
---```
---@param fields table
---@return xensave.Fields?
function Record:find(fields) end

---A new record with the same body, which can be kept, changed and returned. Loads the pages.
---@param selector? xensave.Selector|xensave.PageSet|string
---@param image? xensave.Image
---@return xensave.Record
function Record:copy(selector, image) end

---The bytes after the header (pages of PAGE_DATA, the rest of a large blob) as a string: the
---one call that copies them all. Nil where there are none.
---@return string?
function Record:payload() end

---The header as lines of hexadecimal bytes and text.
---@return string
function Record:hexdump() end

---PAGE_DATA: the pages that a selector is true of, as a set.
---
---```lua
---local set = rec:select(xs.pages.zero)
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@return xensave.PageSet
function Record:select(selector) end

---PAGE_DATA, in a filter: fills the selected pages that have contents with a byte, and says
---how many. Page tables and other pages that a PV guest's restore needs raise.
---
---```lua
---rec:fill(xs.pages.pfn(0x100, 0x1ff), 0)
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@param byte integer
---@return integer
function Record:fill(selector, byte) end

---PAGE_DATA, in a filter: leaves the selected pages out, and says how many. Count and length
---follow.
---
---```lua
---rec:drop(xs.pages.pfn(0x100, 0x1ff))
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@return integer
function Record:drop(selector) end

---PAGE_DATA, in a filter: leaves all but the selected pages out, and says how many it left
---out.
---
---```lua
---rec:keep(xs.pages.pfn(0, 0xff))
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@return integer
function Record:keep(selector) end

---PAGE_DATA, in a filter: gives the selected pages another type, and says how many had
---another. A type without contents takes them away.
---
---```lua
---rec:retype(xs.pages.type "BROKEN", "XTAB")
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@param type string
---@return integer
function Record:retype(selector, type) end

---PAGE_DATA, in a filter: gives the selected pages that have contents those of the same pages
---in another image (or these 4096 bytes), and says how many. rec:copy(selector, image) is the
---same.
---
---```lua
---rec:copy_pages(xs.pages.pfn(0x100), golden)
---```
---@param selector xensave.Selector|xensave.PageSet|string
---@param source xensave.Image|string
---@return integer
function Record:copy_pages(selector, source) end

---A header. Besides the members below it has the fields of its kind by their names in the
---specification; assigning to one writes it.
---@class xensave.Header
---@field kind string "xl", "libxl", "image" or "domain".
---@field offset integer Bytes from the start of the image. Unit: bytes.
---@field config xensave.Config? The domain's configuration in the xl header, as a table that writes back. Nil for other headers, and where the configuration is not JSON.
---@field config_text string? The configuration's text, without its NUL.
---@field xml xensave.Tree? The domain's XML in libvirt's header, as a tree that writes back; nil for other headers.
---@field xml_text string? The text of libvirt's XML, without its NUL.
---@field body xensave.View The header's bytes.
---@field magic string Of the xl header.
---@field byteorder integer Of the xl header. 0x01020304 as the saver's CPU writes it.
---@field mandatory_flags integer Of the xl header. What a reader must understand.
---@field optional_flags integer Of the xl header.
---@field optional_data_len integer Of the xl header.
---@field optional_data string Of the xl header.
---@field ident integer Of the libxl header.
---@field version integer Of the libxl header.
---@field options integer Of the libxl header.
---@field marker integer Of the image header.
---@field id integer Of the image header.
---@field type "x86_pv"|"x86_hvm" Of the domain header.
---@field page_shift integer Of the domain header.
---@field xen_major integer Of the domain header. Release of the saver's Xen; 0 where a converter made the stream.
---@field xen_minor integer Of the domain header.
---@field xml_len integer Of the libvirt header. With the NUL at its end.
---@field signature string Of the xenopsd header.
---@field arch "x86"|"arm" Of the domain header of draft B.
local Header = {}

---A part of the domain's configuration. Members by name, elements from 1; assigning writes the
---configuration back with everything else as it was; nil removes.
---@class xensave.Config
---@field [string|integer] any
local Config = {}

---The part as JSON text.
---@return string
function Config:json() end

---Iterates over names (or numbers from 1) and values, in the order of the text.
---
---```lua
---for name, value in h.config.c_info:each() do print(name, value) end
---```
---@return fun(): string|integer
---@return any
function Config:each() end

---A part of libvirt's XML or of xenopsd's Xenops record. Parts by name give their text, or a
---tree where others are inside; a name may be a path as `dump` has it, with the attribute
---after "@" and places from 0: tree["devices.disk[0].source@file"]. Assigning writes the text
---back with everything else as it was; nil removes.
---@class xensave.Tree
---@field [string|integer] any
local Tree = {}

---The text of the part; of one with others inside, its source.
---@return string
function Tree:text() end

---Iterates over what is inside: names (attributes with "@") or numbers from 1, and texts or
---trees, in the order of the text.
---
---```lua
---for name, value in img.xml:each() do print(name, value) end
---```
---@return fun(): string|integer
---@return string|xensave.Tree
function Tree:each() end

---All texts inside by their paths, of attributes too.
---
---```lua
---for path, text in xs.sorted(img.xml:values()) do print(path, text) end
---```
---@return table<string, string>
function Tree:values() end

---Iterates over the parts of one name, as trees: numbers from 1, and the parts.
---
---```lua
---for _, disk in img.xml.devices:all "disk" do print(disk["target@dev"]) end
---```
---@param name string
---@return fun(): integer
---@return xensave.Tree
function Tree:all(name) end

---Fields that belong together: a group, an array (elements from 1, or by the name of their
---key), an entry of HVM_CONTEXT, or a section of QEMU's state (by its device; is_certain says
---whether where it ends is known or a guess). Assigning writes to the record.
---@class xensave.Fields
---@field [string|integer] any
local Fields = {}

---Iterates over the elements or fields, in their order.
---
---```lua
---for p in rec.param:each() do print(p.name, p.value) end
---```
---@return fun(): any
function Fields:each() end

---The bytes of all the fields together.
---@return string
function Fields:bytes() end

---The names of the fields, in their order.
---@return string[]
function Fields:names() end

---The page numbers (batch.pfn) or page types (batch.pftype) of PAGE_DATA, from 1.
---@class xensave.PageColumn
---@field [integer] integer|string
local PageColumn = {}

---What a rewrite did. Printing it gives the changes, one a line.
---@class xensave.Report
---@field records_in integer Records read. Unit: records.
---@field records_out integer Records written. Unit: records.
---@field kept integer Records written as they were. Unit: records.
---@field changed integer Records written with changes. Unit: records.
---@field dropped integer Records left out. Unit: records.
---@field inserted integer Records that the filter made. Unit: records.
---@field headers_changed integer Headers written with changes. Unit: headers.
---@field octets_in integer Bytes read. Unit: bytes.
---@field octets_out integer Bytes written. Unit: bytes.
---@field changes table[] Every change: kind, path ("config.c_info.name"; "" for whole records), place, offset, before, after (at most 1000).
local Report = {}

---The findings of a verification, from 1; `ok` says whether a restore may be tried.
---@class xensave.Verification
---@field ok boolean Whether there are no errors.
---@field errors integer Findings that a restore would fail on. Unit: findings.
---@field warnings integer Findings that are suspicious. Unit: findings.
local Verification = {}

---Something wrong with an image.
---@class xensave.Finding
---@field rule string The rule's id.
---@field severity string "error", "warning" or "note".
---@field place string The record or header.
---@field field string The field, or "".
---@field problem string What was expected and what was found.
---@field offset integer Bytes from the start of the image. Unit: bytes.
local Finding = {}

---The vCPUs of an image, by number from 0; # counts them.
---@class xensave.VCPUs
---@field [integer] xensave.VCPU
local VCPUs = {}

---Iterates over numbers and vCPUs.
---@return fun(): integer
---@return xensave.VCPU
function VCPUs:each() end

---The registers of a vCPU by their names in Xen's headers: of HVM guests those of struct
---hvm_hw_cpu, of PV guests those of vcpu_guest_context and its user_regs.
---@class xensave.VCPU
---@field id integer The vCPU's number.
---@field [string] any
local VCPU = {}

---Bytes of memory by the address that the vCPU uses: its page tables are walked (4-level,
---5-level, PAE and 32-bit, with large pages). Nil and an error where nothing is mapped.
---
---```lua
---print(img.vcpu[0]:virtual(img.vcpu[0].rip, 16):hexdump())
---```
---@param address integer
---@param count integer
---@return xensave.View?
---@return xensave.Error?
function VCPU:virtual(address, count) end

---Where a virtual address is: physical, page_size (bytes of the page that maps it), writable
---and user. Nil and an error where nothing is mapped.
---
---```lua
---print(xs.hex(img.vcpu[0]:translate(img.vcpu[0].rip).physical))
---```
---@param address integer
---@return table?
---@return xensave.Error?
function VCPU:translate(address) end

---Iterates over what the vCPU's page tables map, ascending: address, physical and count of
---bytes; at most limit (65,536) of them.
---
---```lua
---for m in img.vcpu[0]:mappings() do print(xs.hex(m.address), m.count) end
---```
---@param limit? integer
---@return fun(): table?
function VCPU:mappings(limit) end

---Where bytes stand in what the vCPU's page tables map: as img:search, with virtual addresses.
---Options: encoding, limit, first and last (addresses between which to look). Its field
---complete is false where the page tables map too much to look at all of it.
---
---```lua
---print(#img.vcpu[0]:search("root:"))
---```
---@param text string
---@param options? table
---@return table
function VCPU:search(text, options) end

---What a Linux guest, a saved one or a domain that stands still, was doing, by what its kernel
---carries about itself: kallsyms, BTF and unwind tables. Needs no file from outside.
---@class xensave.Linux
---@field release string The kernel's release, as uname -r says it.
---@field banner string The kernel's own line: release, compiler, build.
---@field cpus integer[] The numbers of the CPUs that are online.
---@field uptime number Seconds since the start, by the guest's own clock. Unit: s.
---@field symbol xensave.Symbols The kernel's variables and functions by name.
local Linux = {}

---The processes. Where there may be more of them, the second result says why.
---
---```lua
---for _, task in ipairs(img.linux:tasks()) do print(task.pid, task.comm) end
---```
---@return xensave.Task[]?
---@return (string|xensave.Error)?
function Linux:tasks() end

---All threads of all processes.
---@return xensave.Task[]?
---@return (string|xensave.Error)?
function Linux:threads() end

---The task of this number.
---@param pid integer
---@return xensave.Task?
---@return xensave.Error?
function Linux:task(pid) end

---The kernel's log: tables of sequence, time (s), level, facility and text. Where there may be
---more of them, the second result says why.
---
---```lua
---for _, line in ipairs(img.linux:dmesg()) do print(line.time, line.text) end
---```
---@return table?
---@return (string|xensave.Error)?
function Linux:dmesg() end

---The loaded modules: name, size, used, state, address and by. Where there may be more of
---them, the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Linux:modules() end

---The mounted file systems: device, type, access, number and path. Where there may be more of
---them, the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Linux:mounts() end

---The disks and partitions: name, number ("major:minor"), size (bytes), access ("ro" or "rw")
---and disk (that a partition is of). Where there may be more of them, the second result says
---why.
---
---```lua
---for _, d in ipairs(img.linux:blockdevs()) do print(d.name, d.size) end
---```
---@return table?
---@return (string|xensave.Error)?
function Linux:blockdevs() end

---The network devices: index, name, state, mtu, hardware and addresses. Where there may be
---more of them, the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Linux:netdevs() end

---The sockets of processes: protocol, state, local, remote, pid, fd and name. Where there may
---be more of them, the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Linux:sockets() end

---How memory is used, in bytes, by the names of /proc/meminfo.
---
---```lua
---print(img.linux:meminfo().MemFree)
---```
---@return table?
---@return xensave.Error?
function Linux:meminfo() end

---Tasks that wait without being interruptible for so long (120), with their stacks. Where
---there may be more of them, the second result says why.
---@param seconds? number
---@return table?
---@return (string|xensave.Error)?
function Linux:hung(seconds) end

---Where processes have these pages of the guest in their memory: a list of tables of pfn, pid,
---comm and address, by process. A page without an owner is the kernel's, its page cache's, or
---free. Where there may be more of them, the second result says why.
---
---```lua
---print(img.linux:owners({ 0x1a2b })[1].comm)
---```
---@param pfns xensave.PageSet|integer[]
---@return table[]?
---@return (string|xensave.Error)?
function Linux:owners(pfns) end

---The stacks of the vCPUs: vcpu, pid, name, state and frames. Where there may be more of them,
---the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Linux:stack() end

---The value of an expression of C over the kernel's variables, as `xensave-lua guest IMAGE
---print` takes it: a number, a string, a boolean, or a TypedValue.
---
---```lua
---print(img.linux:eval "per_cpu(runqueues, 0).curr->comm")
---```
---@param expression string
---@return any
---@return xensave.Error?
function Linux:eval(expression) end

---What is at an address, as a type of the kernel.
---
---```lua
---local task = img.linux:cast("struct task_struct", address)
---```
---@param type string
---@param address integer
---@return any
function Linux:cast(type, address) end

---The function or variable that an address is in, as "schedule+0x1f/0x40".
---
---```lua
---print(img.linux:location(img.vcpu[0].rip))
---```
---@param address integer
---@return string?
function Linux:location(address) end

---Bytes of the kernel's memory, by the kernel's own addresses; at most 64 MiB.
---@param address integer
---@param count integer
---@return string?
---@return xensave.Error?
function Linux:read(address, count) end

---The kernel's variables and functions by name: a variable whose type is known is a value of
---it, others are addresses; nil where there is no such name.
---@class xensave.Symbols
local Symbols = {}

---A process of a guest, or a thread of one.
---@class xensave.Task
---@field pid integer Its number.
---@field process integer The number of the process that it is a thread of.
---@field ppid integer The number of the process that made it.
---@field uid integer The user that it acts as.
---@field rss integer Bytes of its memory that are there. Unit: bytes.
---@field vsz integer Bytes of its address space. Unit: bytes.
---@field start_time integer Nanoseconds from the guest's start to its own. Unit: ns.
---@field address integer Where its struct task_struct is.
---@field comm string Its name, at most 15 bytes.
---@field state string As ps(1) has it: R, S, D, T, t, X, Z, P, I; F for one that is frozen for the suspend.
---@field is_kernel boolean Whether it is a thread of the kernel.
---@field cmdline string[] Its arguments; none for threads of the kernel.
---@field exe string? The file that it runs; nil for threads of the kernel.
---@field struct xensave.TypedValue Its struct task_struct.
---@field mm xensave.TypedValue? Its struct mm_struct; nil for threads of the kernel.
local Task = {}

---Its calls in the kernel, the innermost first: tables of address, symbol, offset and module.
---
---```lua
---for _, call in ipairs(img.linux:task(1):stack()) do print(call.symbol) end
---```
---@return table?
---@return (string|xensave.Error)?
function Task:stack() end

---Its address space: start, end, rights, offset, device, inode and name. Where there may be
---more of them, the second result says why.
---@return table?
---@return (string|xensave.Error)?
function Task:maps() end

---Its open files: fd, position, flags and path. Where there may be more of them, the second
---result says why.
---@return table?
---@return (string|xensave.Error)?
function Task:files() end

---Bytes of its own memory, at most 64 MiB. Nil and an error where nothing is mapped.
---@param address integer
---@param count integer
---@return string?
---@return xensave.Error?
function Task:read(address, count) end

---A structure, pointer or array in a guest's memory, of a type of its kernel or of a declared
---one (xs.struct). Members are fields (of a pointer, those of what it points to), elements
---have numbers from 0; numbers, booleans and strings are Lua's. What is not the structure's
---own ends with "_".
---@class xensave.TypedValue
---@field type_ string Its type, as C writes it.
---@field address_ integer? Where it lies; nil for what was computed.
---@field value_ integer The address that a pointer holds.
---@field members_ string[] The names of a structure's members.
local TypedValue = {}

---What a pointer points to.
---@return any
function TypedValue:deref_() end

---The bytes that a pointer to characters points to, up to the first zero.
---@param limit? integer
---@return string?
---@return xensave.Error?
function TypedValue:string_(limit) end

---The structure that has this value, or what it points to, as a member.
---@param type string
---@param member string
---@return any
function TypedValue:container_of_(type, member) end

---The structures in the list that begins at this struct list_head, of which `member` is the
---node. Where there may be more of them, the second result says why.
---
---```lua
---local modules = img.linux.symbol.modules:list_("struct module", "list")
---```
---@param type string
---@param member string
---@return xensave.TypedValue[]
---@return string?
function TypedValue:list_(type, member) end

---The structures in the list of this struct hlist_head (or hlist_nulls_head, hlist_bl_head),
---of which `member` is the node. Where there may be more of them, the second result says why.
---@param type string
---@param member string
---@return xensave.TypedValue[]
---@return string?
function TypedValue:hlist_(type, member) end

---The structures in the red-black tree of this struct rb_root or rb_root_cached, in its order;
---`member` is the node. Where there may be more of them, the second result says why.
---
---```lua
---local areas = root:rbtree_("struct vmap_area", "rb_node")
---```
---@param type string
---@param member string
---@return xensave.TypedValue[]
---@return string?
function TypedValue:rbtree_(type, member) end

---The entries of this struct xarray or idr, ascending. Tables of first and last (indices), and
---of value (what a pointer points to, where `type` says what that is), address (without a
---type) or number (what stands in place of a pointer). Where there may be more of them, the
---second result says why.
---
---```lua
---for _, e in ipairs(disk.part_tbl:xarray_ "struct block_device") do print(e.first) end
---```
---@param type? string
---@return table[]
---@return string?
function TypedValue:xarray_(type) end

---The entries of this struct maple_tree, ascending. Tables of first and last (indices), and of
---value (what a pointer points to, where `type` says what that is), address (without a type)
---or number (what stands in place of a pointer). Where there may be more of them, the second
---result says why.
---
---```lua
---print(#task.mm.mm_mt:maple_ "struct vm_area_struct")
---```
---@param type? string
---@return table[]
---@return string?
function TypedValue:maple_(type) end

---A type that xs.struct has made. T(where, address) is short for T:at(where, address);
---tostring gives its layout.
---@class xensave.Struct
---@field size integer Bytes of a value. Unit: bytes.
---@field members string[] The names of its members.
local Struct = {}

---Where a member begins, in bytes; a path of names ("first.id") goes into structures. Nil
---where there is none.
---@param member string
---@return integer?
function Struct:offset(member) end

---What lies at an address: a TypedValue; with `count`, a list of so many of them (at most
---65,536). Of an Image and a Domain, which must be paused, the address is a physical one; of a
---VCPU, Linux and a Task it is one of theirs; of a string it counts its bytes from 0. Pointers
---are followed in the same memory. Nothing is read before a member is asked for.
---
---```lua
---print(T:at(img, 0x1000).name)
---```
---@param where xensave.Image|xensave.VCPU|xensave.Linux|xensave.Task|xensave.Domain|string
---@param address integer
---@param count? integer
---@return any
function Struct:at(where, address, count) end

---HVM parameters by name (STORE_PFN or HVM_PARAM_STORE_PFN) or number. What is not in the
---image is nil; assigning adds it, nil removes it.
---@class xensave.HVMParams
---@field [string|integer] integer?
local HVMParams = {}

---The CPUID policy of an image: leaves, and feature bits by Xen's names.
---@class xensave.CPUID
---@field record xensave.Record The X86_CPUID_POLICY record itself.
local CPUID = {}

---A leaf with its registers a, b, c, d (eax, ebx, ecx, edx are the same), or nil.
---
---```lua
---print(xs.hex(img.cpuid:leaf(7, 0).ebx))
---```
---@param leaf integer
---@param subleaf? integer
---@return xensave.Fields?
function CPUID:leaf(leaf, subleaf) end

---Whether a feature is there.
---
---```lua
---if img.cpuid:has "avx512f" then print "needs AVX-512" end
---```
---@param name string
---@return boolean
function CPUID:has(name) end

---Gives the guest a feature or takes it away. False where the policy has no such leaf.
---
---```lua
---img.cpuid:set("avx2", false)
---```
---@param name string
---@param on boolean
---@return boolean
function CPUID:set(name, on) end

---The names of all features that are there, sorted.
---@return string[]
function CPUID:features() end

---What a conversion did. Printing it gives what was left out, one a line.
---@class xensave.Conversion
---@field records_in integer Records read. Unit: records.
---@field records_out integer Records written. Unit: records.
---@field octets_in integer Bytes read. Unit: bytes.
---@field octets_out integer Bytes written. Unit: bytes.
---@field losses integer What the result does not hold. Unit: losses.
---@field notes table[] What was left out: place, text, loss (at most 100).
---@field changes table[] What was done to the image for a release: action, place, text, loss (at most 1000).
---@field reasons table[] What there is to say of a restore by the release of the option suits, as from compat.
---@field config string? The configuration of an outer header that was left out.
local Conversion = {}

---Filters one after the other, as xs.chain makes them. It is a filter itself.
---@class xensave.Chain
local Chain = {}

---An image of a guest that never ran, for tests: xs.synth makes it.
---@class xensave.Synth
local Synth = {}

---Puts a record before END, after the guest's state. Gives the image again.
---
---```lua
---xs.synth { }:add(xs.record("VERIFY")):save(path)
---```
---@param record xensave.Record
---@return xensave.Synth
function Synth:add(record) end

---Leaves all records of a type out: for images that are wrong on purpose.
---
---```lua
---xs.synth { }:omit "HVM_PARAMS":save(path)
---```
---@param type string|integer
---@return xensave.Synth
function Synth:omit(type) end

---Writes the image to a file, and gives its path. Nil and an error where that fails.
---
---```lua
---local path = assert(xs.synth { guest = "x86_pv" }:save "pv.img")
---```
---@param path string
---@return string?
---@return xensave.Error?
function Synth:save(path) end

---A domain. `local dom <close> = assert(xs.domain "web1")`: at the end of the scope, by
---whatever way, the domain is as it was found, not paused, suspended or noting dirty pages; on
---Xen a second process sees to that even where the program is killed (SIGKILL). What the
---hypervisor refuses is returned as nil and an error.
---@class xensave.Domain
---@field id integer Its number.
---@field name string? Its name; nil where it has none.
---@field uuid string? Its UUID.
---@field guest string "x86_hvm" (PVH too) or "x86_pv".
---@field linux xensave.Linux What its Linux guest is doing. The domain must be paused or suspended, and stay so: once it has run, what was given before raises an error. Raises one where there is no Linux, and for PV domains on Xen.
local Domain = {}

---What it is now: id, name, uuid, guest, max_pages, pages, vcpus (numbers of those online),
---paused, suspended, shutdown ("suspend", "crash", ... or nil), xen, guest_width.
---
---```lua
---print(dom:info().pages)
---```
---@return table?
---@return xensave.Error?
function Domain:info() end

---Ends the handle: the domain is as it was found.
function Domain:close() end

---Stops its vCPUs where they are.
---@return boolean?
---@return xensave.Error?
function Domain:pause() end

---Lets its vCPUs continue.
---@return boolean?
---@return xensave.Error?
function Domain:unpause() end

---Asks the guest to stand still, and waits for it.
---@return boolean?
---@return xensave.Error?
function Domain:suspend() end

---Lets a suspended domain run on.
---@return boolean?
---@return xensave.Error?
function Domain:resume() end

---Begins to note which pages are written to.
---@return boolean?
---@return xensave.Error?
function Domain:enable_log_dirty() end

---Stops noting them.
---@return boolean?
---@return xensave.Error?
function Domain:disable_log_dirty() end

---The pages written to since the last call, which are forgotten (where nobody has them noted:
---none on Xen, an error from a simulated domain): a table of count, and ranges, a list of {
---first, last } of pfns.
---
---```lua
---local dirty = assert(dom:clean_log_dirty())
---```
---@return table?
---@return xensave.Error?
function Domain:clean_log_dirty() end

---The same pages, which are not forgotten: a table of count, and ranges, a list of { first,
---last } of pfns.
---@return table?
---@return xensave.Error?
function Domain:peek_log_dirty() end

---What is where: runs of pages of one type, each a table of first, last (pfns), count and type
---("NOTAB", "L1TAB", "XTAB" where there is none, ...).
---
---```lua
---for _, run in ipairs(dom:memory_map()) do print(run.first, run.last, run.type) end
---```
---@return table[]?
---@return xensave.Error?
function Domain:memory_map() end

---The types of pages, from a pfn on.
---
---```lua
---print(dom:page_types(0x10)[1])
---```
---@param first integer
---@param count? integer
---@return string[]?
---@return xensave.Error?
function Domain:page_types(first, count) end

---A page's bytes, mapped: what the guest writes shows. Valid until the next call of a method
---of this domain.
---
---```lua
---print(dom:page(0x10):u32(0))
---```
---@param pfn integer
---@return xensave.View?
---@return xensave.Error?
function Domain:page(pfn) end

---A record of its state as a save would write it; nil where it has none. Most can be had only
---while the domain is paused or suspended. PV guests have X86_PV_VCPU_BASIC and its like once
---a vCPU.
---
---```lua
---local context = assert(dom:record "HVM_CONTEXT")
---```
---@param type string|integer
---@param vcpu? integer
---@return xensave.Record?
---@return xensave.Error?
function Domain:record(type, vcpu) end

---The registers of a vCPU; nil where it is offline. The domain must be paused or suspended.
---
---```lua
---print(xs.hex(dom:vcpu(0).rip))
---```
---@param id integer
---@return xensave.VCPU?
---@return xensave.Error?
function Domain:vcpu(id) end

---The HVM parameters by name. The domain must be paused or suspended.
---
---```lua
---print(xs.hex(dom:hvm_params().STORE_PFN))
---```
---@return xensave.HVMParams?
---@return xensave.Error?
function Domain:hvm_params() end

---The value of a node of xenstore, or nil. Paths that do not begin with "/" are below the
---domain's own.
---
---```lua
---print(dom:store_read "memory/target")
---```
---@param path string
---@return string?
---@return xensave.Error?
function Domain:store_read(path) end

---Writes a node of xenstore.
---@param path string
---@param value string
---@return boolean?
---@return xensave.Error?
function Domain:store_write(path, value) end

---The names of the nodes below one, or nil where there is none.
---@param path string
---@return string[]?
---@return xensave.Error?
function Domain:store_list(path) end

---Waits until a node at or below a path changes, for at most so long: the path of the node, or
---nil.
---@param path string
---@param seconds number
---@return string?
---@return xensave.Error?
function Domain:store_watch(path, seconds) end

---Saves it to a path (the file appears when it is complete and verified) or to an open file.
---Options, which may stand alone with `to` among them: live (true), resume (whether it runs on
---here; else it stands still after the save), policy (a Policy, name, table or function; Xen's
---builtin as a rule), deadline_ms (for each of its calls, 100), filter (as for xs.rewrite),
---trace (a path: what was done is recorded, also where it fails), progress (a title, a
---Progress, or a function of what, done and total), verify (sends everything twice, for the
---restorer to compare), unchecked. Where anything fails the domain is as it was: it runs on,
---or stays suspended if it was suspended before; err.stage says where it was, err.code is
---"aborted" where the policy gave up.
---
---```lua
---assert(dom:save("web.img", { policy = "downtime-budget" }))
---```
---@param to string|table|any
---@param options? table
---@return xensave.SaveResult?
---@return xensave.Error?
function Domain:save(to, options) end

---Saves it again and again into one stream, of which the last complete checkpoint is restored;
---it runs on (one that was suspended before stays so). Options: count (of checkpoints, 2),
---interval_ms (between two, 200), policy (a Policy, name, table or function; Xen's builtin as
---a rule), deadline_ms (for each of its calls, 100), filter (as for xs.rewrite), trace (a
---path: what was done is recorded, also where it fails), progress (a title, a Progress, or a
---function of what, done and total), verify (sends everything twice, for the restorer to
---compare), unchecked. The policy's on_checkpoint can end it.
---
---```lua
---assert(dom:checkpoint("web.img", { count = 5, interval_ms = 100 }))
---```
---@param to string|table|any
---@param options? table
---@return xensave.SaveResult?
---@return xensave.Error?
function Domain:checkpoint(to, options) end

---Sends it, live, to a command of the shell (as its standard input), which has to end with
---exit code 0: then it stands still here. Where the command fails, even at the very end, the
---domain is here as it was before, and err.code is "receiver". Options: command, policy (a
---Policy, name, table or function; Xen's builtin as a rule), deadline_ms (for each of its
---calls, 100), filter (as for xs.rewrite), trace (a path: what was done is recorded, also
---where it fails), progress (a title, a Progress, or a function of what, done and total),
---verify (sends everything twice, for the restorer to compare), unchecked.
---
---```lua
---assert(dom:migrate "ssh host2 xensave-receive")
---```
---@param to string|table
---@param options? table
---@return xensave.SaveResult?
---@return xensave.Error?
function Domain:migrate(to, options) end

---Restores an image into a domain that was made for it: xs.sim { blank = true }. (A domain of
---a real Xen is made and restored by xl.) Options: checkpointed, policy (its on_restore and
---on_static_data are called). The result has pages, checkpoints, failed_over, differing (pfns
---that a VERIFY round found different).
---
---```lua
---assert(dom:restore "web.img")
---```
---@param from string|xensave.Image
---@param options? table
---@return table?
---@return xensave.Error?
function Domain:restore(from, options) end

---Simulated domains: lets time pass; the guest works.
---
---```lua
---dom:run(0.5)
---```
---@param seconds number
function Domain:run(seconds) end

---Simulated domains: writes to a page as the guest would.
---@param pfn integer
---@param offset integer
---@param bytes string
function Domain:write(pfn, offset, bytes) end

---Simulated domains: takes a page away, or gives it one.
---@param pfn integer
---@param has_page boolean
function Domain:balloon(pfn, has_page) end

---Simulated domains: makes a hook fail ("map", "suspend", "cleanLogDirty", ...) or something
---happen ("page-vanishes", "unknown-type", "silent-suspend", "short-bitmap", "domain-changes",
---"domain-dies") at its `at`-th call from now (1), `times` times (1), with an errno (5).
---"none" takes all of them back.
---
---```lua
---dom:fault("map", 3)
---```
---@param name string
---@param at? integer
---@param times? integer
---@param errno? integer
function Domain:fault(name, at, times, errno) end

---Simulated domains: how often each hook was called, by name.
---
---```lua
---print(dom:calls().map)
---```
---@return table
function Domain:calls() end

---Simulated domains: log_dirty, emulator_log_dirty, paused, running (whether vCPUs run),
---leases (pages lent), writes (of the guest), time (seconds).
---@return table
function Domain:state() end

---Simulated domains: the pfns of pages that differ in contents, or that only one has (at most
---1000), with count, and same_state, whether all records are the same.
---
---```lua
---assert(dom:differences(copy).count == 0)
---```
---@param other xensave.Domain
---@return table
function Domain:differences(other) end

---Simulated domains: ends it, and the handle.
function Domain:destroy() end

---What a save of a domain has done.
---@class xensave.SaveResult
---@field rounds integer Rounds that were sent while the guest ran. Unit: rounds.
---@field octets integer Bytes that the save wrote, before a filter. Unit: bytes.
---@field pages integer Pages sent with their contents, each as often as it was sent. Unit: pages.
---@field checkpoints integer Checkpoints that are complete. Unit: checkpoints.
---@field downtime number Seconds from the guest standing still to the end. Unit: s.
---@field total number Seconds that all of it took. Unit: s.
---@field policy_calls integer Calls of the policy. Unit: calls.
---@field policy_failures integer Calls that failed, so that the builtin policy answered. Unit: calls.
---@field policy_time number Seconds that the calls took, the way to the policy's thread included. Unit: s.
---@field trace xensave.Trace What was done, round by round.
---@field report xensave.Report? What the filter did; nil where there was none.
---@field warnings string[] What could not be put back after the save.
local SaveResult = {}

---What a live save did, round by round. tostring() gives its text.
---@class xensave.Trace
---@field guest string "x86_hvm" or "x86_pv".
---@field max_pages integer Pages that the domain might have. Unit: pages.
---@field pages integer Pages that the domain had. Unit: pages.
---@field outcome string How it ended: "complete", or what went wrong.
---@field downtime number Seconds for which the guest stood still. Unit: s.
---@field total number Seconds that all of it took. Unit: s.
---@field rounds table[] Each round: kind ("live", "final", "standing", "checkpoint", "verify"), number, dirty_count, sent (pages with contents), bytes, begin_s and end_s (in seconds), digest (of the dirty bitmap), again (pages that were dirty before the last round, too; nil where nobody counted).
local Trace = {}

---Writes it to a file; gives the path.
---@param path string
---@return string?
---@return xensave.Error?
function Trace:save(path) end

---A policy that xs.load_policy has found: `policy { option = value }` gives it with other
---values for its options. It runs on a thread of its own, in a sandbox.
---@class xensave.Policy
---@field name string Its name.
---@field path string The file that it is from.
---@field summary string What it does, in one line.
---@field opts table The values of its options.
local Policy = {}

---What a policy decides on: `precopy(s)` gets it. The same object each time; s:copy() keeps
---what it says.
---@class xensave.PrecopyStats
---@field iteration integer Rounds that were sent. Unit: rounds.
---@field total_written integer Pages that were sent in all rounds. Unit: pages.
---@field dirty_count integer? Pages that are dirty; nil while that is not known (Xen: -1). Unit: pages.
---@field max_pages integer Pages that the domain may have. Unit: pages.
---@field phase string "before" a round is sent, or "after" (asked only where both_phases is true).
---@field elapsed number Seconds since the first round began. Unit: s.
---@field round_time number Seconds of the last round; 0 before there is one. Unit: s.
---@field bandwidth number Pages a second that are sent, smoothed; 0 before the first round. Unit: pages/s.
---@field bandwidth_raw number Pages a second that the last round sent. Unit: pages/s.
---@field dirty_rate number Pages a second that the guest dirties, smoothed. Unit: pages/s.
---@field dirty_rate_raw number Pages a second that the guest dirtied in the last round. Unit: pages/s.
---@field deferred integer Pages that wait for the last round and are not dirty now. Unit: pages.
---@field skipped integer Pages of the last round that were dirty again when their turn came, and left to the next one. Unit: pages.
---@field hot integer[]? Pages that were dirty in at least 1, 2, ... 8 of the last eight rounds; nil where nobody counts them (saves by Xen's library).
---@field throttle integer Percent of its processors' time that the guest does without now; 0 where it cannot be throttled. Unit: %.
---@field bytes integer? Bytes of the stream that were written; nil where nobody counts them (saves by Xen's library). Unit: bytes.
---@field suspend_time number? Seconds from asking the guest to suspend until it is suspended, the last time in this save; nil before it has. Unit: s.
---@field final_time number? Seconds of the round that was sent then; nil before the first checkpoint. Unit: s.
---@field records_time number? Seconds of the records after it; nil before the first checkpoint. Unit: s.
---@field est_downtime number? Seconds that sending the dirty and deferred pages would take at this bandwidth, with suspend_time and records_time where they are known; nil where the bandwidth is not. Unit: s.
---@field time number Seconds since 1970. Unit: s.
---@field hour number Hours since midnight, local time: 22.5 is half past ten. Unit: h.
local PrecopyStats = {}

---All of it as a table that stays as it is.
---@return table
function PrecopyStats:copy() end

---Long work that is shown on standard error as --progress says. xs.progress makes it.
---@class xensave.Progress
---@field title string What the work is called.
---@field done integer How much is done.
local Progress = {}

---Says how much is done in all.
---
---```lua
---p:update(rec.offset)
---```
---@param done integer
function Progress:update(done) end

---Says that so much more is done; 1 where it is not said.
---
---```lua
---for rec in img:records() do p:add() end
---```
---@param count? integer
function Progress:add(count) end

---Ends the work; so does the end of a <close> variable's scope.
function Progress:close() end

---Which pages: a predicate that runs natively. Combine with & | - and ~; a PageSet or the text
---form may stand on either side. What looks at contents is false of pages without any.
---@class xensave.Selector
local Selector = {}

---The order in which its tests run; after a run, how many pages each looked at, how many it is
---true of, and its time per page.
---
---```lua
---print(sel:explain())
---```
---@return string
function Selector:explain() end

---A set of page numbers. Combine with & | - and ~ (all others); # counts. Wherever a selector
---is expected, a set may stand.
---@class xensave.PageSet
local PageSet = {}

---Whether a page is in it.
---@param pfn integer
---@return boolean
function PageSet:has(pfn) end

---Iterates over its ranges, ascending: the first and the last page of each.
---
---```lua
---for first, last in set:ranges() do print(xs.hex(first), xs.hex(last)) end
---```
---@return fun(): integer
---@return integer
function PageSet:ranges() end

---Iterates over its pages, ascending.
---
---```lua
---for pfn in set:each() do print(pfn) end
---```
---@return fun(): integer
function PageSet:each() end

---The lowest page, or nil of an empty set.
---@return integer?
function PageSet:first() end

---The highest page, or nil of an empty set.
---@return integer?
function PageSet:last() end

---Writes a file of lines "0x100" or "0x100..0x1ff", which P.load reads. Gives the path.
---@param path string
---@return string?
---@return xensave.Error?
function PageSet:save(path) end

---Pages with the same contents, as img:dedupe has found them.
---@class xensave.Duplicates
---@field pages integer Pages with contents. Unit: pages.
---@field distinct integer Different contents. Unit: contents.
---@field zero integer Pages of zeros. Unit: pages.
local Duplicates = {}

---The contents that most pages have (10 of them), most first, as a list: count, first_pfn,
---zero, and image (its number, where further images were counted in).
---
---```lua
---for _, d in ipairs(img:dedupe():top(3)) do print(d.count, d.first_pfn) end
---```
---@param count? integer
---@return table
function Duplicates:top(count) end

---Bytes of a page, of the guest's memory, or of a record or header. Offsets count from 0. A
---view of a record's page is valid until the next record; in a filter it may be written to,
---where the page may change.
---@class xensave.View
local View = {}

---The unsigned integer of 1 byte at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:u8(offset, value) end

---The signed integer of 1 byte at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:i8(offset, value) end

---The unsigned integer of 2 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:u16(offset, value) end

---The signed integer of 2 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:i16(offset, value) end

---The unsigned integer of 4 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:u32(offset, value) end

---The signed integer of 4 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:i32(offset, value) end

---The unsigned integer of 8 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:u64(offset, value) end

---The signed integer of 8 bytes at an offset; with a value, writes it.
---@param offset integer
---@param value? integer
---@return integer
function View:i64(offset, value) end

---The same bytes, read as big-endian integers.
---@return xensave.View
function View:be() end

---The same bytes, read as little-endian integers.
---@return xensave.View
function View:le() end

---A part of the view.
---@param offset integer
---@param count? integer
---@return xensave.View
function View:sub(offset, count) end

---The bytes as a string: the one call that copies.
---@param offset? integer
---@param count? integer
---@return string
function View:bytes(offset, count) end

---Writes the bytes of a string at an offset.
---@param offset integer
---@param bytes string
function View:put(offset, bytes) end

---Sets every byte of the view.
---@param byte integer
function View:fill(byte) end

---Whether the bytes are the same.
---@param other xensave.View|string
---@return boolean
function View:equal(other) end

---Whether every byte is zero.
---@return boolean
function View:iszero() end

---The offset of the first occurrence of a string, or nil.
---@param bytes string
---@param from? integer
---@return integer?
function View:find(bytes, from) end

---Values at an offset by a format of string.unpack, and the offset after them. Looks at 65,536
---bytes at most.
---@param format string
---@param offset? integer
---@return any
function View:unpack(format, offset) end

---The guest's address of the first byte; of a record or header, its offset there.
---@return integer
function View:address() end

---Lines of addresses, hexadecimal bytes and text. Options: width (bytes a line, 16), base
---(what the first byte's address is instead of view:address()).
---
---```lua
---print(view:sub(0, 64):hexdump())
---```
---@param options? table
---@return string
function View:hexdump(options) end

---A hash of a page's 4096 bytes, as P.hash_in takes it. Not cryptographic.
---@return integer
function View:hash() end

---Bits of entropy a byte of a whole page: 0 of one value only, near 8 of what is compressed or
---encrypted.
---@return number
function View:entropy() end

---End of the image.
---@class xensave.END: xensave.Record

---Page numbers, types and the contents of pages that have some.
---@class xensave.PAGE_DATA: xensave.Record
---@field pfn xensave.PageColumn The page numbers.
---@field pftype xensave.PageColumn The types of the pages, by name.
---@field count integer Entries of pfn.

---Word size and page-table levels of a PV guest.
---@class xensave.X86_PV_INFO: xensave.Record
---@field guest_width integer In bytes. Bytes of a word of the guest: 4 or 8.
---@field pt_levels integer Page-table levels: 3 (guest_width 4) or 4 (guest_width 8).

---The pages that hold the guest's p2m table.
---@class xensave.X86_PV_P2M_FRAMES: xensave.Record
---@field p2m_start_pfn integer First pfn that the frames cover.
---@field p2m_end_pfn integer Last pfn that they cover: the guest's greatest.
---@field p2m_pfn xensave.Fields Page numbers of the p2m pages.

---Registers and tables of a PV vCPU.
---@class xensave.X86_PV_VCPU_BASIC: xensave.Record
---@field vcpu_id integer
---@field fpu_ctxt xensave.Fields
---@field flags integer
---@field user_regs xensave.Fields
---@field trap_ctxt xensave.Fields
---@field ldt_base integer
---@field ldt_ents integer
---@field gdt_frames xensave.Fields Page numbers; gdt_ents says how many are used, 512 entries each.
---@field gdt_ents integer
---@field kernel_ss integer
---@field kernel_sp integer
---@field ctrlreg xensave.Fields By number; 1 is the user page table.
---@field debugreg xensave.Fields
---@field event_callback_eip integer
---@field failsafe_callback_eip integer
---@field syscall_callback_eip integer
---@field vm_assist integer
---@field fs_base integer
---@field gs_base_kernel integer
---@field gs_base_user integer
---@field event_callback_cs integer
---@field failsafe_callback_cs integer
---@field context string

---Callbacks and machine-check state of a PV vCPU.
---@class xensave.X86_PV_VCPU_EXTENDED: xensave.Record
---@field vcpu_id integer
---@field vcpu integer The vCPU that Xen sets; the record's vcpu_id says the same.
---@field size integer In bytes.
---@field syscall32_callback_eip integer
---@field sysenter_callback_eip integer
---@field syscall32_callback_cs integer
---@field sysenter_callback_cs integer
---@field syscall32_disables_events integer
---@field sysenter_disables_events integer
---@field _pad0 string
---@field vmce xensave.Fields
---@field _rest string

---Extended processor state of a PV vCPU.
---@class xensave.X86_PV_VCPU_XSAVE: xensave.Record
---@field vcpu_id integer
---@field xcr0 integer
---@field xcr0_accum integer All that XCR0 has ever had.
---@field save_area xensave.Fields

---The page that a PV guest shares with Xen.
---@class xensave.SHARED_INFO: xensave.Record
---@field vcpu_info xensave.Fields
---@field evtchn_pending xensave.Fields
---@field evtchn_mask xensave.Fields
---@field wc_version integer
---@field wc_sec integer In s.
---@field wc_nsec integer In ns.
---@field arch xensave.Fields
---@field _tail string The page after struct shared_info.
---@field wc_sec_hi integer Bits 63 to 32 of wc_sec.

---The domain's time-stamp counter.
---@class xensave.X86_TSC_INFO: xensave.Record
---@field mode "default"|"always_emulate"|"never_emulate"|"pvrdtscp" How RDTSC works.
---@field khz integer In kHz. Frequency that the guest sees.
---@field nsec integer In ns. Time elapsed.
---@field incarnation integer How often the counter's parameters have changed.

---State of vCPUs and platform devices, as Xen saved it.
---@class xensave.HVM_CONTEXT: xensave.Record
---@field entry xensave.Fields

---HVM parameters that are not zero.
---@class xensave.HVM_PARAMS: xensave.Record
---@field count integer Entries of param.
---@field param xensave.Fields Parameters by number.

---Deprecated: no release wrote it, restorers refuse it.
---@class xensave.TOOLSTACK: xensave.Record
---@field data string

---Model-specific registers of a PV vCPU.
---@class xensave.X86_PV_VCPU_MSRS: xensave.Record
---@field vcpu_id integer
---@field msr xensave.Fields

---From here on pages are compared, not loaded.
---@class xensave.VERIFY: xensave.Record

---End of a checkpoint of a checkpointed stream.
---@class xensave.CHECKPOINT: xensave.Record

---Pages that the secondary dirtied (COLO's back channel only).
---@class xensave.CHECKPOINT_DIRTY_PFN_LIST: xensave.Record
---@field pfn xensave.Fields

---End of what the saver knows before the guest runs.
---@class xensave.STATIC_DATA_END: xensave.Record

---What CPUID tells the guest.
---@class xensave.X86_CPUID_POLICY: xensave.Record
---@field leaf xensave.Fields

---Read-only MSRs that the guest sees.
---@class xensave.X86_MSR_POLICY: xensave.Record
---@field msr xensave.Fields

---A libxc stream follows, without a length.
---@class xensave.LIBXC_CONTEXT: xensave.Record

---Keys that the device model needs in xenstore.
---@class xensave.EMULATOR_XENSTORE_DATA: xensave.Record
---@field emulator_id "UNKNOWN"|"QEMU_TRADITIONAL"|"QEMU_UPSTREAM"
---@field data xensave.Fields

---State of the device model, as it saved it.
---@class xensave.EMULATOR_CONTEXT: xensave.Record
---@field emulator_id "UNKNOWN"|"QEMU_TRADITIONAL"|"QEMU_UPSTREAM"
---@field emulator_ctx xensave.Fields

---End of a checkpoint: libxc records follow.
---@class xensave.CHECKPOINT_END: xensave.Record

---Where the two sides of COLO are.
---@class xensave.CHECKPOINT_STATE: xensave.Record
---@field control_id "NEW"|"SVM_SUSPENDED"|"SVM_READY"|"SVM_RESUMED"

---The greatest vCPU number; a VCPU_CONTEXT follows for each online one.
---@class xensave.VCPU_INFO: xensave.Record
---@field max_vcpu_id integer

---Registers and tables of a vCPU.
---@class xensave.VCPU_CONTEXT: xensave.Record
---@field vcpu_id integer
---@field fpu_ctxt xensave.Fields
---@field flags integer
---@field user_regs xensave.Fields
---@field trap_ctxt xensave.Fields
---@field ldt_base integer
---@field ldt_ents integer
---@field gdt_frames xensave.Fields Page numbers; gdt_ents says how many are used, 512 entries each.
---@field gdt_ents integer
---@field kernel_ss integer
---@field kernel_sp integer
---@field ctrlreg xensave.Fields By number; 1 is the user page table.
---@field debugreg xensave.Fields
---@field event_callback_eip integer
---@field failsafe_callback_eip integer
---@field syscall_callback_eip integer
---@field vm_assist integer
---@field fs_base integer
---@field gs_base_kernel integer
---@field gs_base_user integer
---@field event_callback_cs integer
---@field failsafe_callback_cs integer
---@field context string

---The saver's release of Xen, as the final domain header has it.
---@class xensave.XEN_VERSION: xensave.Record
---@field xen_major integer
---@field xen_minor integer

---What xenopsd knows of the domain, as an S-expression; `xenops` in paths and scripts.
---@class xensave.Xenops: xensave.Record
---@field data string

---A libxc stream follows, without a length.
---@class xensave.Libxc: xensave.Record

---A libxl stream follows (never implemented).
---@class xensave.Libxl: xensave.Record

---A legacy libxc stream follows, without a length.
---@class xensave.Libxc_legacy: xensave.Record

---State of QEMU, whichever it is: upstream's begins with QEVM. A restore refuses more than 1
---MiB.
---@class xensave.Qemu_trad: xensave.Record
---@field data xensave.Fields

---State of upstream QEMU: never written, and refused by a restore.
---@class xensave.Qemu_xen: xensave.Record
---@field data xensave.Fields

---The state of the emulator of a virtual GPU follows, without a length: what comes after it
---cannot be found.
---@class xensave.Demu: xensave.Record

---State of the store of UEFI variables.
---@class xensave.Varstored: xensave.Record
---@field variables xensave.Fields

---State of the TPM emulator: its bytes.
---@class xensave.Swtpm0: xensave.Record
---@field data string

---State of the TPM emulator: one or more texts of base64 with spaces between.
---@class xensave.Swtpm: xensave.Record
---@field data string

---End of the suspend image.
---@class xensave.End_of_image: xensave.Record

---A filter as a table: functions by record type, and what is called around them.
---@class xensave.FilterTable
---@field name? string
---@field record? xensave.FilterFunction All records without a function of their own.
---@field begin? fun()
---@field finish? fun()
---@field xl_header? xensave.HeaderFunction
---@field libxl_header? xensave.HeaderFunction
---@field image_header? xensave.HeaderFunction
---@field domain_header? xensave.HeaderFunction
---@field libvirt_header? xensave.HeaderFunction
---@field draft_domain_header? xensave.HeaderFunction
---@field END? fun(rec: xensave.END): xensave.FilterResult, ...
---@field PAGE_DATA? fun(rec: xensave.PAGE_DATA): xensave.FilterResult, ...
---@field X86_PV_INFO? fun(rec: xensave.X86_PV_INFO): xensave.FilterResult, ...
---@field X86_PV_P2M_FRAMES? fun(rec: xensave.X86_PV_P2M_FRAMES): xensave.FilterResult, ...
---@field X86_PV_VCPU_BASIC? fun(rec: xensave.X86_PV_VCPU_BASIC): xensave.FilterResult, ...
---@field X86_PV_VCPU_EXTENDED? fun(rec: xensave.X86_PV_VCPU_EXTENDED): xensave.FilterResult, ...
---@field X86_PV_VCPU_XSAVE? fun(rec: xensave.X86_PV_VCPU_XSAVE): xensave.FilterResult, ...
---@field SHARED_INFO? fun(rec: xensave.SHARED_INFO): xensave.FilterResult, ...
---@field X86_TSC_INFO? fun(rec: xensave.X86_TSC_INFO): xensave.FilterResult, ...
---@field HVM_CONTEXT? fun(rec: xensave.HVM_CONTEXT): xensave.FilterResult, ...
---@field HVM_PARAMS? fun(rec: xensave.HVM_PARAMS): xensave.FilterResult, ...
---@field TOOLSTACK? fun(rec: xensave.TOOLSTACK): xensave.FilterResult, ...
---@field X86_PV_VCPU_MSRS? fun(rec: xensave.X86_PV_VCPU_MSRS): xensave.FilterResult, ...
---@field VERIFY? fun(rec: xensave.VERIFY): xensave.FilterResult, ...
---@field CHECKPOINT? fun(rec: xensave.CHECKPOINT): xensave.FilterResult, ...
---@field CHECKPOINT_DIRTY_PFN_LIST? fun(rec: xensave.CHECKPOINT_DIRTY_PFN_LIST): xensave.FilterResult, ...
---@field STATIC_DATA_END? fun(rec: xensave.STATIC_DATA_END): xensave.FilterResult, ...
---@field X86_CPUID_POLICY? fun(rec: xensave.X86_CPUID_POLICY): xensave.FilterResult, ...
---@field X86_MSR_POLICY? fun(rec: xensave.X86_MSR_POLICY): xensave.FilterResult, ...
---@field LIBXC_CONTEXT? fun(rec: xensave.LIBXC_CONTEXT): xensave.FilterResult, ...
---@field EMULATOR_XENSTORE_DATA? fun(rec: xensave.EMULATOR_XENSTORE_DATA): xensave.FilterResult, ...
---@field EMULATOR_CONTEXT? fun(rec: xensave.EMULATOR_CONTEXT): xensave.FilterResult, ...
---@field CHECKPOINT_END? fun(rec: xensave.CHECKPOINT_END): xensave.FilterResult, ...
---@field CHECKPOINT_STATE? fun(rec: xensave.CHECKPOINT_STATE): xensave.FilterResult, ...
---@field VCPU_INFO? fun(rec: xensave.VCPU_INFO): xensave.FilterResult, ...
---@field VCPU_CONTEXT? fun(rec: xensave.VCPU_CONTEXT): xensave.FilterResult, ...
---@field XEN_VERSION? fun(rec: xensave.XEN_VERSION): xensave.FilterResult, ...
---@field Xenops? fun(rec: xensave.Xenops): xensave.FilterResult, ...
---@field Libxc? fun(rec: xensave.Libxc): xensave.FilterResult, ...
---@field Libxl? fun(rec: xensave.Libxl): xensave.FilterResult, ...
---@field Libxc_legacy? fun(rec: xensave.Libxc_legacy): xensave.FilterResult, ...
---@field Qemu_trad? fun(rec: xensave.Qemu_trad): xensave.FilterResult, ...
---@field Qemu_xen? fun(rec: xensave.Qemu_xen): xensave.FilterResult, ...
---@field Demu? fun(rec: xensave.Demu): xensave.FilterResult, ...
---@field Varstored? fun(rec: xensave.Varstored): xensave.FilterResult, ...
---@field Swtpm0? fun(rec: xensave.Swtpm0): xensave.FilterResult, ...
---@field Swtpm? fun(rec: xensave.Swtpm): xensave.FilterResult, ...
---@field End_of_image? fun(rec: xensave.End_of_image): xensave.FilterResult, ...

---What `require "xensave"` gives: opening, rewriting and checking saved domains.
---@class xensave
---@field version string The release of this program.
---@field opts table The values of the script's options, as xs.options has read them.
local xs = {}

---Opens a saved domain; "-" is standard input. Nil and an error where it cannot be opened or
---is no saved domain. Options: layer = "legacy" opens what Xen 4.5 and older saved: it is seen
---as the version 3 image that it becomes (a scratch file in $TMPDIR, made when it is first
---needed; img:convert to version 3 needs none). width = 32, 64 or "auto" is the word size of
---its toolstack.
---
---```lua
---local img <close> = assert(xs.open "vm.img")
---```
---@param path string
---@param options? table
---@return xensave.Image?
---@return xensave.Error?
function xs.open(path, options) end

---Passes every part of an image, with the changes made to it, through a filter (nil: only
---those changes). The destination is a file (written whole, verified and renamed, or not at
---all), "-" for standard output, or nil for a dry run. Options: unchecked = true leaves out
---the verification, progress = xs.progress(title). What the filter raises is raised.
---
---```lua
---assert(xs.rewrite("in", "out", { TOOLSTACK = function() return false end }))
---```
---@param source string|xensave.Image
---@param destination string?
---@param filter? xensave.Filter
---@param options? table
---@return xensave.Report?
---@return xensave.Error?
function xs.rewrite(source, destination, filter, options) end

---Checks an image as Xen would on a restore, and more. Reads headers only; the option pages =
---true also looks into the page tables of a PV guest.
---
---```lua
---for _, finding in ipairs(xs.verify "vm.img") do print(finding) end
---```
---@param source string|xensave.Image
---@param options? table
---@return xensave.Verification?
---@return xensave.Error?
function xs.verify(source, options) end

---Makes a record from a table of fields by their names in the specification (what is not given
---is zero, counts follow from lists), or from the bytes of its body.
---
---```lua
---xs.record("HVM_PARAMS", { param = { { index = "STORE_PFN", value = 0xff000 } } })
---```
---@param type string|integer
---@param fields? table|string
---@param layer? string
---@return xensave.Record
function xs.record(type, fields, layer) end

---The number of a record type: "TOOLSTACK", "0xb" and 11 are all accepted.
---
---```lua
---xs.record_type "HVM_PARAMS"  --> 10
---```
---@param name string|integer
---@return integer
function xs.record_type(name) end

---An unsigned value in hexadecimal with 0x, with at least so many digits.
---
---```lua
---xs.hex(-1)  --> 0xffffffffffffffff
---```
---@param value integer
---@param digits? integer
---@return string
function xs.hex(value, digits) end

---The decimal digits of an unsigned value.
---
---```lua
---xs.u64(-1)  --> 18446744073709551615
---```
---@param value integer
---@return string
function xs.u64(value) end

---Ends the script with a message about its arguments and exit code 2.
---
---```lua
---if #arg < 1 then xs.usage "expected a name" end
---```
---@param format string
---@param ... any
function xs.usage(format, ...) end

---One filter out of several: each sees what the one before it has written, records that it
---inserted too.
---
---```lua
---return xs.chain(strip { "TOOLSTACK" }, rename "web1")
---```
---@param filter xensave.Filter
---@param ... any
---@return xensave.Filter
function xs.chain(filter, ...) end

---Whether the file that calls it is the script that was started, and not a module that
---`require` loads: a file can then be both.
---
---```lua
---if not xs.is_main() then return M end
---```
---@return boolean
function xs.is_main() end

---A random UUID (version 4).
---
---```lua
---img.config.c_info.uuid = xs.uuid()
---```
---@return string
function xs.uuid() end

---A random MAC address of those that Xen has for virtual cards (00:16:3e:...).
---
---```lua
---img.config.nics[1].mac = xs.mac()
---```
---@return string
function xs.mac() end

---The paths that match a pattern of the shell, sorted; folders end in "/". Of s3:// the
---objects that match, or all whose names begin with a prefix that ends in "/"; nil and an
---error where the store does not say.
---
---```lua
---for _, path in ipairs(xs.glob "/var/lib/xen/*.save") do print(path) end
---```
---@param pattern string
---@return string[]?
---@return xensave.Error?
function xs.glob(pattern) end

---Explains a value, or what is called so: a function, class, record type or field. The same as
---help in a session.
---
---```lua
---xs.help "HVM_PARAMS"
---```
---@param topic? any
function xs.help(topic) end

---Lists functions, record types and fields whose name or description has the word in it.
---
---```lua
---xs.apropos "tsc"
---```
---@param word string
function xs.apropos(word) end

---A value as a session prints it: tables with their entries, records as their fields. Options:
---depth, width, items.
---
---```lua
---print(xs.repr(rec:fields()))
---```
---@param value any
---@param options? table
---@return string
function xs.repr(value, options) end

---Prints rows in columns; numbers stand on the right. Options: header, a row of titles;
---format, "text" or "csv" (comma-separated values, RFC 4180).
---
---```lua
---xs.table({ { "kept", 14 }, { "dropped", 1 } }, { header = { "what", "n" } })
---```
---@param rows any[][]
---@param options? table
function xs.table(rows, options) end

---Iterates over a table in the order of its keys: numbers, then names.
---
---```lua
---for name, value in xs.sorted(params) do print(name, value) end
---```
---@param t table
---@return fun(): any
---@return any
function xs.sorted(t) end

---Declares the script's options and reads them from `arg`, where only the other words stay.
---The values are in xs.opts. An option is a table: name, help, type ("flag", "string",
---"integer", "number" or "list" for one that may be given several times), short, placeholder,
---choices, default, required. --help prints the script's first comment and the options, and
---ends it.
---
---```lua
---xs.options { { name = "json", type = "flag", help = "Print JSON." } }
---```
---@param options table[]
---@return table
function xs.options(options) end

---A small valid image for tests. Options: guest ("x86_hvm" or "x86_pv"), pages (how many, or a
---table of contents by pfn: a string, or a byte to fill the page with), name, vcpus, layer
---("xl", "libxl" or "libxc"), version (3 or 2), xen ("4.17"), config (parts of the
---configuration).
---
---```lua
---xs.synth { guest = "x86_hvm", pages = { [0x10] = "secret" } }:save(path)
---```
---@param options? table
---@return xensave.Synth
function xs.synth(options) end

---Long work that is shown as it continues: a bar on a terminal, or what --progress says. The
---total is in bytes, or in what `unit` names. Functions that take long are shown anyway; those
---with an option `progress` are called by its title.
---
---```lua
---local p <close> = xs.progress("counting", #img, "records")
---```
---@param title string
---@param total? integer
---@param unit? string
---@return xensave.Progress
function xs.progress(title, total, unit) end

---A plain Lua value as JSON text. An empty table is an object, with the option empty_list a
---list.
---
---```lua
---print(xs.json({ found = {} }, { empty_list = true }))
---```
---@param value any
---@param options? table
---@return string
function xs.json(value, options) end

---The value of a JSON text: objects and arrays as tables, integers up to 64 bits as integers
---(unsigned ones by bit pattern), null as nil. Nil and an error for what is no JSON.
---
---```lua
---local t = assert(xs.from_json(io.open("level.json"):read "a"))
---```
---@param text string
---@return any
---@return xensave.Error?
function xs.from_json(text) end

---Iterates over the differences between two images in files, changes by the script included.
---Each is a table with kind: "field" (path, a, b: values, nil where there is none), "record"
---(a or b: the name of a record or header that only one image has) or "pages" (first, last,
---count, how: "contents", "type" with a and b, "only_in_first", "only_in_second"). Options:
---pages = true compares pages too; context = N adds a list, context, of N records of the first
---image around the place.
---
---```lua
---for d in xs.diff(a, b, { pages = true }) do print(d.kind, d.path) end
---```
---@param a xensave.Image|string
---@param b xensave.Image|string
---@param options? table
---@return fun(): table
function xs.diff(a, b, options) end

---The domains that there are, real and simulated: tables of id, name, uuid, guest, paused,
---pages, vcpus and backend.
---
---```lua
---for _, d in ipairs(xs.domains()) do print(d.id, d.name) end
---```
---@return table[]?
---@return xensave.Error?
function xs.domains() end

---A domain by its number, name or UUID.
---
---```lua
---local dom <close> = assert(xs.domain "web1")
---```
---@param which integer|string
---@return xensave.Domain?
---@return xensave.Error?
function xs.domain(which) end

---A policy by its name (xensave-lua policy list) or by the path of its file. Raises where
---there is none, or where it is no policy.
---
---```lua
---local policy = xs.load_policy "downtime-budget" { downtime_ms = 200 }
---```
---@param name string
---@return xensave.Policy
function xs.load_policy(name) end

---Makes a type of what C would declare: members, or structures, unions and enums by name and
---then members. Numbers are u8 to u64, s8 to s64, le16 to be64 (with their byte order), char,
---bool, float, double, and those of C; there are pointers, arrays, bit fields, and members
---without a name. Members are aligned as on x86-64. What is wrong is said with line and
---column. Options: packed (true: no padding), endian ("little" or "big": the order of numbers
---that have none of their own), pointer (4 or 8: bytes of a pointer and of long).
---
---```lua
---local T = xs.struct "u32 magic; u64 next; char name[16]"
---```
---@param declaration string
---@param options? table
---@return xensave.Struct
function xs.struct(declaration, options) end

---Messages on standard error.
---@class xensave.log
xs.log = {}

---Writes a message to standard error, formatted as string.format does.
---
---```lua
---xs.log.debug("%s at %#x", rec.type, rec.offset)
---```
---@param format string
---@param ... any
function xs.log.debug(format, ...) end

---Writes a message to standard error, formatted as string.format does.
---
---```lua
---xs.log.info("%s at %#x", rec.type, rec.offset)
---```
---@param format string
---@param ... any
function xs.log.info(format, ...) end

---Writes a message to standard error, formatted as string.format does.
---
---```lua
---xs.log.warn("%s at %#x", rec.type, rec.offset)
---```
---@param format string
---@param ... any
function xs.log.warn(format, ...) end

---Writes a message to standard error, formatted as string.format does.
---
---```lua
---xs.log.error("%s at %#x", rec.type, rec.offset)
---```
---@param format string
---@param ... any
function xs.log.error(format, ...) end

---CPUID features by Xen's names, without an image.
---@class xensave.cpuid
xs.cpuid = {}

---Where a feature is: leaf, subleaf (nil where there are none), register "a" to "d", bit,
---mask; or msr, bit, mask.
---
---```lua
---xs.cpuid.bit("avx2").leaf  --> 7
---```
---@param name string
---@return table
function xs.cpuid.bit(name) end

---The names of the features in a register, by bit number.
---
---```lua
---xs.cpuid.names(7, 0, "b")[5]  --> avx2
---```
---@param leaf integer
---@param subleaf integer?
---@param register string
---@return table
function xs.cpuid.names(leaf, subleaf, register) end

---The names of the features in an MSR, by bit number.
---@param msr integer
---@return table
function xs.cpuid.msr_names(msr) end

---The registers and MSRs with feature bits, in the order of Xen's featuresets (xen-cpuid, xe
---host-cpu-info, xl info): tables with leaf, subleaf (nil where there are none) and register,
---or with msr and shift (0 or 32).
---
---```lua
---print(xs.cpuid.words()[6].leaf)  --> 7
---```
---@return table[]
function xs.cpuid.words() end

---Features with all that are nothing without one of them, as Xen takes them out of a policy.
---
---```lua
---xs.cpuid.with_dependents { "avx512bw" }[2]  --> avx512_vbmi
---```
---@param names string[]
---@return string[]
function xs.cpuid.with_dependents(names) end

---The features that Xen gives to guests whatever the processor has: they are no reason against
---a host.
---@return string[]
function xs.cpuid.given() end

---The components of extended state that belong to a feature: tables with feature and mask,
---their bits in XCR0.
---@return table[]
function xs.cpuid.states() end

---The names of the generations of processors that are known, older before newer ones of a
---family.
---@return string[]
function xs.cpuid.levels() end

---What a generation of processors has, by its name or that of libvirt's model: name, vendor,
---source, features, optional (those that microcode or settings decide) and partial (whether it
---says nothing of what it does not list); nil for other names.
---
---```lua
---#xs.cpuid.level("haswell").features
---```
---@param name string
---@return table?
function xs.cpuid.level(name) end

---What a release of Xen refuses of a policy: vendor (another than the host's), subleaf (leaf 7
---goes further than the host's), leaf (leaves 0 or 0x80000000 do).
---
---```lua
---xs.cpuid.checks("4.17.4").subleaf  --> true
---```
---@param xen string
---@return table
function xs.cpuid.checks(xen) end

---What vCPUs have turned on (control registers, extended state, MSRs) and a CPUID policy
---denies: tables with vcpu, what ("CR4.SMEP") and features (one of them is needed). Xen
---refuses such a state. `state` is HVM_CONTEXT, X86_PV_VCPU_XSAVE or X86_PV_VCPU_MSRS; others
---have none. `msrs` is the policy of MSRs.
---@param state xensave.Record
---@param policy xensave.Record
---@param msrs xensave.Record?
---@return table[]
function xs.cpuid.in_use(state, policy, msrs) end

---Selectors of pages, which run natively. `local P = xs.pages`.
---@class xensave.pages
---@field any xensave.Selector Every page.
---@field has_data xensave.Selector Pages that have contents in the stream.
---@field zero xensave.Selector Pages of nothing but zeros.
xs.pages = {}

---The page with this number, or those from the first to the last number.
---
---```lua
---P.pfn(0x100, 0x1ff)
---```
---@param first integer
---@param last? integer
---@return xensave.Selector
function xs.pages.pfn(first, last) end

---The pages of a set, or of a list of numbers.
---
---```lua
---P.pfns { 0x10, 0x12 }
---```
---@param set xensave.PageSet|table
---@return xensave.Selector
function xs.pages.pfns(set) end

---Pages of one of these types ("NOTAB", "L1TAB", ...).
---
---```lua
---P.type("L1TAB", "L1TAB_PIN")
---```
---@param name string
---@param ... any
---@return xensave.Selector
function xs.pages.type(name, ...) end

---A share of all pages from 0 to 1, chosen by their numbers and the seed: always the same
---ones.
---
---```lua
---P.sample(1 / 64)
---```
---@param share number
---@param seed? integer
---@return xensave.Selector
function xs.pages.sample(share, seed) end

---The selector of a text, as --where of the command pages takes it. A wrong text raises.
---
---```lua
---P.parse "pfn in 0x100..0x1ff and not zero"
---```
---@param text string
---@return xensave.Selector
function xs.pages.parse(text) end

---Pages whose byte at an offset has this value.
---
---```lua
---P.byte(0, 0x7f)
---```
---@param offset integer
---@param value integer
---@return xensave.Selector
function xs.pages.byte(offset, value) end

---Pages whose 8 bytes at an offset, little-endian and masked, have this value. With two
---arguments the second is the value, and nothing is masked.
---
---```lua
---P.u64(0, 0xffff, 0x457f)
---```
---@param offset integer
---@param mask integer
---@param value? integer
---@return xensave.Selector
function xs.pages.u64(offset, mask, value) end

---Pages in which these bytes stand, from 1 to 4096 of them.
---
---```lua
---P.contains "password="
---```
---@param bytes string
---@return xensave.Selector
function xs.pages.contains(bytes) end

---Pages whose contents have one of these hashes (view:hash() gives one), or, with an image,
---those of any of its pages: 8 bytes of memory for each.
---
---```lua
---img:count(P.hash_in(golden) & ~P.zero)
---```
---@param hashes table|xensave.Image
---@return xensave.Selector
function xs.pages.hash_in(hashes) end

---A set: of one page, of those from first to last, of a list of numbers, or of a text of lines
---as set:save writes them. Without arguments it is empty.
---
---```lua
---P.set(0x100, 0x1ff) | P.set { 0x300, 0x302 }
---```
---@param first? integer|table|string
---@param last? integer
---@return xensave.PageSet
function xs.pages.set(first, last) end

---Reads a set from a file that set:save or a person wrote.
---
---```lua
---local free = assert(P.load "free-pages.txt")
---```
---@param path string
---@return xensave.PageSet?
---@return xensave.Error?
function xs.pages.load(path) end

---Simulated domains, which need no Xen, and replays of recorded saves. `xs.sim { ... }` is
---short for xs.sim.domain { ... }.
---@class xensave.sim
xs.sim = {}

---Reads a trace that a save recorded.
---
---```lua
---local trace = assert(xs.sim.trace "web.trace")
---```
---@param path string
---@return xensave.Trace?
---@return xensave.Error?
function xs.sim.trace(path) end

---What a policy would have done in a save that was recorded, in virtual time. Options:
---link_mbps (megabits a second, 10000 as a rule) or link ("10G"), hour (at which the save
---begins). The result has outcome, reason, rounds, bytes (that were sent), sent_ratio (of the
---memory, 1.0 is once), downtime_ms, total_s, dirty_counts, decisions and failures.
---
---```lua
---local r = assert(xs.sim.replay("web.trace", "builtin", { link = "1G" }))
---```
---@param trace string|xensave.Trace
---@param policy xensave.Policy|string|table|fun(): string
---@param options? table
---@return table?
---@return xensave.Error?
function xs.sim.replay(trace, policy, options) end

---Makes a simulated domain and starts it. Options: pages or memory_mib (16 MiB as a rule),
---guest ("x86_hvm"; "x86_pv" only with from or blank), from (an image that it is restored
---from), blank (waits for dom:restore), name, vcpus, seed, filled (of 100 pages, how many have
---contents: 75), holes (list of { first, last } without pages), suspend_ms (that the guest
---takes to stand still: 1), link ("10G": how fast its virtual time lets saves write) or
---real_time = true, workload (list of phases, each with seconds, writes_per_s, hot_pages,
---hot_percent, zero_percent, burst_writes, burst_ms) and repeating (true: the first phase
---follows the last).
---
---```lua
---local dom <close> = xs.sim.domain { workload = { { writes_per_s = 50000 } } }
---```
---@param options? table
---@return xensave.Domain?
---@return xensave.Error?
function xs.sim.domain(options) end

---The image of the command line; nil without one.
---@type xensave.Image?
img = nil

return xs
