package cli

import "golang.org/x/sys/windows"

var (
	diskFull = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}
	tooLong  = []error{windows.ERROR_FILE_TOO_LARGE}
	noMemory = []error{windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_OUTOFMEMORY, windows.ERROR_COMMITMENT_LIMIT}
	noFiles  = []error{windows.ERROR_TOO_MANY_OPEN_FILES}
	readOnly = []error{windows.ERROR_WRITE_PROTECT}
	badPaths = []error{windows.ERROR_FILENAME_EXCED_RANGE, windows.ERROR_INVALID_NAME, windows.ERROR_DIRECTORY}
)

const permissionHint = "close the file in other programs, or check who may write to the folder"
