"""Proof that a program opens no socket: a kernel filter (seccomp) that ends it on the spot if it tries.

The idea: a log of system calls says what happened once; the filter makes the system call impossible, for the program
and all its threads. Installed by the child between fork and exec. x86-64 and 64-bit ARM; Linux only.
"""
import ctypes
import platform

SYS_SOCKET = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
# linux/bpf_common.h: load a word of the call's data, compare, return.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("if_true", ctypes.c_ubyte), ("if_false", ctypes.c_ubyte),
                ("value", ctypes.c_uint)]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("first", ctypes.POINTER(Instruction))]


def forbid():
    """For subprocess's preexec_fn: from now on socket(2) ends this process with SIGSYS."""
    program = (Instruction * 4)(
        Instruction(LOAD, 0, 0, 0),  # seccomp_data.nr
        Instruction(JUMP_IF_EQUAL, 0, 1, SYS_SOCKET),
        Instruction(RETURN, 0, 0, KILL_PROCESS),
        Instruction(RETURN, 0, 0, ALLOW))
    whole = Filter(len(program), program)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(whole)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
