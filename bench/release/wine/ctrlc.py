"""Presses Ctrl-C on a Windows console in which unet predicts many images, and wants
exit status 130 and nothing half-written: ctrlc.py WORK COMMAND..."""
import glob, os, pty, select, shutil, sys, time

work, command = sys.argv[1], sys.argv[2:]
images, results = work + "/many", work + "/results"
for d in images, results:
    shutil.rmtree(d, ignore_errors=True)
os.mkdir(images)
for i in range(200):
    shutil.copy("bench/verify/oracle/testdata/00_image.png", f"{images}/{i}.png")
pid, console = pty.fork()
if pid == 0:
    os.execvp(command[0], command + ["predict", images, "--out", results])
text, pressed, start = b"", False, time.monotonic()
while time.monotonic() - start < 300:
    if select.select([console], [], [], 0.1)[0]:
        try:
            text += os.read(console, 4096)
        except OSError:  # closed
            break
    if not pressed and b"images" in text and glob.glob(results + "/*.labels.tif"):  # the progress line is drawn
        os.write(console, b"\x03")
        pressed = True
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
left = [f for f in os.listdir(results) if f.endswith(".tmp")]
if not pressed or status != 130 or left or b"images" not in text:
    sys.exit(f"Ctrl-C: pressed {pressed}, exit status {status}, left {left}\n{text[-2000:]!r}")
