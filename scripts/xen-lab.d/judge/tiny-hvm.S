/* A tiny HVM guest, in 32-bit protected mode without paging, as Xen starts a guest's firmware.  Fills 64
   pages with a pattern, then for ever: checks them, counts, changes a word of one page, and prints
   "T COUNT WRONG" on Xen's debug port, which Xen's log shows. */
    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $stack_top, %esp
    xor %ecx, %ecx                 /* page i holds i * 0x01000193 ^ j in its word j */
1:  mov %ecx, %edi
    shl $12, %edi
    add $0x200000, %edi
    imul $0x01000193, %ecx, %ebx
    xor %edx, %edx
2:  mov %ebx, %eax
    xor %edx, %eax
    stosl
    inc %edx
    cmp $1024, %edx
    jne 2b
    inc %ecx
    cmp $64, %ecx
    jne 1b

round:
    xor %ebp, %ebp                 /* words that are wrong */
    xor %ecx, %ecx
3:  mov %ecx, %esi
    shl $12, %esi
    add $0x200000, %esi
    imul $0x01000193, %ecx, %ebx
    mov $1, %edx                   /* word 0 of a page changes */
4:  mov %ebx, %eax
    xor %edx, %eax
    cmp (%esi, %edx, 4), %eax
    je 5f
    inc %ebp
5:  inc %edx
    cmp $1024, %edx
    jne 4b
    inc %ecx
    cmp $64, %ecx
    jne 3b

    incl counter
    mov counter, %ebx
    mov %ebx, %eax
    and $63, %eax
    shl $12, %eax
    mov %ebx, 0x200000(%eax)
    mov $'T', %al
    outb %al, $0xe9
    mov $' ', %al
    outb %al, $0xe9
    call print
    mov $' ', %al
    outb %al, $0xe9
    mov %ebp, %ebx
    call print
    mov $'\n', %al
    outb %al, $0xe9

    rdtsc                          /* about a second */
    mov %eax, %esi
    mov %edx, %edi
    add $2000000000, %esi
    adc $0, %edi
6:  pause
    rdtsc
    sub %esi, %eax
    sbb %edi, %edx
    jc 6b
    jmp round

print:                             /* ebx in hexadecimal */
    mov $8, %ecx
7:  rol $4, %ebx
    mov %bl, %al
    and $15, %al
    add $'0', %al
    cmp $'9', %al
    jbe 8f
    add $39, %al
8:  outb %al, $0xe9
    dec %ecx
    jnz 7b
    ret

    .data
    .balign 4096
counter:
    .long 0
    .bss
    .balign 4096
    .skip 4096
stack_top:
