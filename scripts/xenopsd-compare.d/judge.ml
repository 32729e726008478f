(* Saves and restores suspend images as xenopsd does, by xenopsd's own source. Where a comment says "take",
   build.py puts text of that source: a whole file, what comes before an item, or items. Everything else
   stands in for what xenopsd calls and what has no say in the format. *)

(* xapi-log: all lines go to standard error, where the caller picks the warnings and errors. *)
module Debug = struct
  module type BRAND = sig val name : string end

  module Make (B : BRAND) = struct
    let log level fmt = Printf.ksprintf (Printf.eprintf "%s: %s: %s\n%!" level B.name) fmt
    let debug fmt = log "debug" fmt
    let info fmt = log "info" fmt
    let warn fmt = log "warning" fmt
    let error fmt = log "error" fmt
  end

  let with_thread_associated _ f x = f x
  let log_backtrace _ _ = ()
end

module Backtrace = struct
  let is_important _ = ()
  let get _ = ()
end

module Syslog = struct type level = Err | Debug end

(* The memory of the host, which is logged after an error. *)
module Memory = struct
  let kib_of_pages = Int64.mul 4L
  let mib_of_pages_free pages = Int64.div pages 256L
end

module Xenctrl = struct
  type physinfo = {free_pages: nativeint; scrub_pages: nativeint; total_pages: nativeint}
  let with_intf f = f ()
  let physinfo () = {free_pages= 0n; scrub_pages= 0n; total_pages= 0n}
end

(* Names of file descriptors and of the domain. *)
module Uuidx = struct
  let make () = Uuidm.v4_gen (Random.State.make_self_init ()) ()
  let to_string uuid = Uuidm.to_string uuid
end

module Xapi_stdext_pervasives = struct
  module Pervasiveext = struct
    (* take ocaml/libs/xapi-stdext/lib/xapi-stdext-pervasives/pervasiveext.ml *)
  end
end

module Xapi_stdext_threads = struct
  module Threadext = struct
    (* take ocaml/libs/xapi-stdext/lib/xapi-stdext-threads/threadext.ml: let finally, module Mutex *)
  end
end

module Xapi_stdext_unix = struct
  module Unixext = struct
    (* take ocaml/libs/xapi-stdext/lib/xapi-stdext-unix/unixext.ml: let raise_with_preserved_backtrace,
       let unlink_safe, let with_file, let copy_file_internal, let copy_file *)
  end
end

module Clock = struct
  module Date = struct
    (* take ocaml/libs/clock/date.ml *)
  end
end

(* forkexec, without its daemon. As there, the program gets only the file descriptors that are named, and their
   names in its arguments become numbers. *)
module Forkhelpers = struct
  exception Spawn_internal_error of string * string * Unix.process_status

  type pidty = int

  let getpid pid = pid
  let int_of_fd : Unix.file_descr -> int = Obj.magic
  let fd_of_int : int -> Unix.file_descr = Obj.magic

  let exec fds program args =
    let null = Unix.openfile "/dev/null" [Unix.O_RDWR] 0 in
    Unix.dup2 null Unix.stdin ;
    Unix.dup2 null Unix.stdout ;
    let kept = List.map (fun (_, fd) -> int_of_fd fd) fds in
    for fd = 3 to 255 do
      if not (List.mem fd kept) then try Unix.close (fd_of_int fd) with _ -> ()
    done ;
    let replace arg (name, fd) = String.concat (string_of_int (int_of_fd fd)) (Astring.String.cuts ~sep:name arg) in
    Unix.execv program (Array.of_list (program :: List.map (fun arg -> List.fold_left replace arg fds) args))

  let safe_close_and_exec _ _ _ fds program args =
    flush_all () ;
    match Unix.fork () with 0 -> (try exec fds program args with _ -> Unix._exit 127) | pid -> pid

  let rec waitpid pid = try Unix.waitpid [] pid with Unix.Unix_error (Unix.EINTR, _, _) -> waitpid pid
  let execute_command_get_output _ _ = failwith "xenguest is not asked for what it supports"
end

(* Of the interface only what is raised here, and what is asked of a task. *)
module Xenops_interface = struct
  exception Cancelled of string

  module Task = struct type t = {dbg: string} end
end

module Xenops_utils = struct
  (* take ocaml/xenopsd/lib/xenops_utils.ml: module Unixext, let with_lock *)
end

(* One task, without its result, a list of tasks and traces. *)
module Xenops_task = struct
  open Xenops_utils

  module Xenops_task = struct
    module Interface = struct let cancelled id = Xenops_interface.Cancelled id end
    open Debug.Make (struct let name = "task_server" end)
    open Xapi_stdext_pervasives.Pervasiveext

    type task_handle = {
        id: string
      ; tm: Mutex.t
      ; mutable cancelling: bool
      ; mutable cancel: (unit -> unit) list
      ; mutable cancel_points_seen: int
      ; test_cancel_at: int option
      ; cancellable: bool
    }

    let make () =
      {id= "1"; tm= Mutex.create (); cancelling= false; cancel= []; cancel_points_seen= 0; test_cancel_at= None;
       cancellable= true}

    let id_of_handle task = task.id
    let get_dbg _ = "judge"
    let to_interface_task _ = {Xenops_interface.Task.dbg= "judge"}

    (* take ocaml/xapi-idl/lib/task_server.ml: let cancel, let raise_cancelled, let check_cancelling_locked,
       let check_cancelling, let with_cancel *)
  end

  let with_tracing ~name:_ ~task:_ f = f ()
end

module Io = struct
  (* take ocaml/xenopsd/lib/io.ml *)
end

module Suspend_image = struct
  (* take ocaml/xenopsd/lib/suspend_image.ml before let check_conversion_script *)

  (* Legacy images are converted by a program of Xen's: they are not judged here. *)
  let with_conversion_script _ _ _ _ _ = Error (Failure "legacy images are not converted here")
end

module Emu_manager = struct
  (* take ocaml/xenopsd/xc/emu_manager.ml *)
end

module XenguestHelper = struct
  (* take ocaml/xenopsd/xc/xenguestHelper.ml *)
end

(* What a restore gave to somebody, for the caller to compare. *)
let part name contents = Printf.eprintf "part: %s %s\n%!" name Digest.(to_hex (string contents))

let read_file path =
  let channel = open_in_bin path in
  let contents = really_input_string channel (in_channel_length channel) in
  close_in channel ; contents

(* QEMU, varstored and swtpm: a save takes their states from the files qemu, varstored and swtpm. *)
module Device = struct
  module Profile = struct
    type t = Qemu_trad | Qemu_none | Qemu_upstream_compat | Qemu_upstream | Qemu_upstream_uefi
  end

  module Dm = struct
    let suspend _ ~xs:_ ~qemu_domid:_ ~dm:_ domid =
      let channel = open_out_bin (Printf.sprintf "qemu-save.%d" domid) in
      output_string channel (read_file "qemu") ;
      close_out channel

    let after_suspend_image ~xs:_ ~dm:_ ~qemu_domid:_ ~vtpm:_ _ = ()
    let suspend_varstored _ ~xs:_ _ ~vm_uuid:_ = read_file "varstored"
    let suspend_vtpm _ ~xs:_ _ ~vtpm:_ = if Sys.file_exists "swtpm" then [read_file "swtpm"] else []
    let restore_varstored _ ~xs:_ ~efivars _ = part "varstored" efivars
    let restore_vtpm _ ~xs:_ ~contents ~vtpm:_ _ = part "swtpm" contents
  end
end

module Xenops_helpers = struct let uuid_of_domid ~xs:_ _ = Uuidx.make () end

module Domain = struct
  open Printf
  open Xenops_utils
  open Xenops_task
  open Debug.Make (struct let name = "xenops" end)

  let finally = Xapi_stdext_pervasives.Pervasiveext.finally
  let get_uuid ~xc:_ _ = Uuidx.make ()

  (* In device_common.ml they are in directories of the system. *)
  let qemu_save_path : (_, _, _) format = "qemu-save.%d"
  let qemu_restore_path : (_, _, _) format = "qemu-resume.%d"

  (* take ocaml/xenopsd/xc/domain.ml: exception Suspend_image_failure, exception Domain_restore_failed,
     exception Domain_restore_truncated_hvmstate, exception Emu_manager_protocol_failure,
     exception Emu_manager_failure, let args_numa_placements, type suspend_flag, let dm_flags,
     let with_emu_manager_restore, let restore_libxc_record, let consume_qemu_record, let restore_common,
     let suspend_emu_manager, let write_qemu_record, let write_varstored_record, let forall,
     let write_vtpm_record, let suspend *)
end

(* The configuration of a VM, whose S-expression is vm_str of a Xenops record. *)
module Xenops_types = struct
  open Sexplib.Std

  module Uuidm = struct
    include Uuidm
    (* take ocaml/xapi-idl/lib/uuidm_rpc_type.ml: let t_of_sexp, let sexp_of_t *)
  end

  (* take ocaml/xapi-idl/xen/xenops_types.ml: module TopLevel *)

  module Nvram_uefi_variables = struct
    (* take ocaml/xapi-idl/xen/xenops_types.ml in module Nvram_uefi_variables: type onboot, type t *)
  end

  module Vm = struct
    (* take ocaml/xapi-idl/xen/xenops_types.ml in module Vm: type igd_passthrough, type video_card,
       type firmware_type, let default_firmware, type tpm, type hvm_info, type pv_direct_boot,
       type pv_indirect_boot, type pv_boot, type pv_info, type builder_info, type id, type action,
       type scheduler_params, type t *)
  end
end

let domid = 7
let dm = Device.Profile.Qemu_upstream_compat
let with_file = Xapi_stdext_unix.Unixext.with_file

let read manager_path domain_type ~vgpu path =
  with_file path [Unix.O_RDONLY] 0 (fun fd ->
    Domain.restore_common (Xenops_task.Xenops_task.make ()) ~xc:() ~xs:() ~dm ~domain_type ~store_port:1
      ~console_port:2 ~extras:[] ~vtpm:() ~numa_placements:None manager_path domid fd
      (if vgpu then Some fd else None))
  |> ignore ;
  let qemu = Printf.sprintf "qemu-resume.%d" domid in
  if Sys.file_exists qemu then part "qemu" (read_file qemu)

(* A VM of which only the kind matters, with a name that needs quotes twice. *)
let vm domain_type =
  let kind =
    match domain_type with `pv -> "PV((boot(Direct())))" | `pvh -> "PVH((boot(Direct())))" | `hvm -> "HVM()"
  in
  let text =
    "((id 434d1235-c58b-99f4-f652-c79d57e50719)(ssidref 0)(xsdata((vm-data \"\")))(platformdata((acpi 1)))
    (bios_strings((bios-vendor Xen)))(suppress_spurious_page_faults false)(machine_address_size())
    (memory_static_max 4194304)(memory_dynamic_max 4194304)(memory_dynamic_min 4194304)(vcpu_max 1)(vcpus 1)
    (scheduler_params((priority((256 0)))(affinity())))(on_crash(Start))(on_shutdown(Shutdown))(on_reboot(Start))
    (pci_msitranslate true)(pci_power_mgmt false)(generation_id())(ty(" ^ kind ^ ")))"
  in
  {(Xenops_types.Vm.t_of_sexp (Sexplib.Sexp.of_string text)) with name= "a \"b\" (\xc3\xa4)\n; #|"}

let write manager_path domain_type ~is_uefi path =
  let vm_str = Sexplib0.Sexp.to_string (Xenops_types.Vm.sexp_of_t (vm domain_type)) in
  with_file path [Unix.O_WRONLY; Unix.O_CREAT; Unix.O_APPEND] 0o600 (fun fd ->
    Domain.suspend (Xenops_task.Xenops_task.make ()) ~xc:() ~xs:() ~domain_type ~is_uefi ~dm ~manager_path vm_str
      domid fd None [] ~qemu_domid:0 ~vtpm:() (fun () -> ()))

(* Prints whether a text is a record, and if it is one its time and the name of its VM, in hexadecimal. *)
let print_record text =
  let hex text =
    String.to_seq text |> Seq.map (fun c -> Printf.sprintf "%02x" (Char.code c)) |> List.of_seq |> String.concat ""
  in
  let name vm_str = hex (Xenops_types.Vm.t_of_sexp (Sexplib.Sexp.of_string vm_str)).name in
  match Suspend_image.Xenops_record.of_string text with
  | Ok record -> Printf.printf "takes %s.%s\n" (hex record.time) (try name (Option.get record.vm_str) with _ -> "none")
  | Error error -> Printf.printf "refuses %s\n" (String.escaped (Printexc.to_string error))

let kind = function "pv" -> `pv | "pvh" -> `pvh | "hvm" -> `hvm | text -> failwith text

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore ;
  try
    match List.tl (Array.to_list Sys.argv) with
    | ["record"; path] -> print_record (read_file path)
    | ["read"; manager; guest; path] -> read manager (kind guest) ~vgpu:false path
    | ["read"; manager; guest; "vgpu"; path] -> read manager (kind guest) ~vgpu:true path
    | ["write"; manager; guest; path] -> write manager (kind guest) ~is_uefi:false path
    | ["write"; manager; guest; "uefi"; path] -> write manager (kind guest) ~is_uefi:true path
    | _ -> failwith "arguments"
  with error ->
    Printf.eprintf "error: judge: %s\n%!" (Printexc.to_string error) ;
    exit 1
