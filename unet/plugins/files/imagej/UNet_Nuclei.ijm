// Nuclei by unet @VERSION@: active image -> ROI Manager and a table.
//
// Put this file into the folder "plugins" of Fiji or ImageJ and restart: the
// menu Plugins has "UNet Nuclei". The program `unet` is looked for in the
// folder of this file, then where the system looks for programs; another place
// is given in the dialog and remembered. Nothing leaves this computer.
//
// Without a window: ImageJ -macro UNet_Nuclei.ijm "unet=/path/unet diameter=auto"
// takes the active image and asks nothing.

program = call("ij.Prefs.get", "unet.program", "unet");
local = getDirectory("plugins") + "unet";
if (program == "unet") { // a folder of that name is not the program
    if (File.exists(local) && !File.isDirectory(local)) program = local;
    else if (File.exists(local + ".exe")) program = local + ".exe";
}
diameter = "auto";
edge = false;
options = getArgument();
if (nImages == 0) exit("unet: open an image first");

if (options == "") {
    Dialog.create("UNet Nuclei");
    Dialog.addString("Program", program, 40);
    Dialog.addString("Diameter (auto, native, or pixels)", diameter);
    Dialog.addCheckbox("Drop nuclei at the edge", edge);
    Dialog.show();
    program = Dialog.getString();
    diameter = Dialog.getString();
    edge = Dialog.getCheckbox();
    call("ij.Prefs.set", "unet.program", program);
} else {
    program = valueOf(options, "unet", program);
    diameter = valueOf(options, "diameter", diameter);
    word = valueOf(options, "edge", "keep");
    if (word == "drop") edge = true;
}

// The image goes to a file of its own: it may have been edited, or be one of
// several slices. d2s, since a large number reads 1.795E12, the same for days.
folder = getDirectory("temp") + "unet-" + d2s(getTime(), 0) + File.separator;
removeAll(folder);
File.makeDirectory(folder);
image = getTitle();
file = folder + "image.tif";
id = getImageID();
selected = selectionType();
run("Select None");
if (nSlices > 1) {
    setBatchMode(true);
    run("Duplicate...", "title=unet-slice");
    saveAs("Tiff", file);
    close();
    selectImage(id);
    setBatchMode(false);
} else {
    run("Duplicate...", "title=unet-slice");
    saveAs("Tiff", file);
    close();
    selectImage(id);
}
if (selected != -1) run("Restore Selection");

// The folder is new: a table in it is of this run.
out = folder + "out";
if (edge)
    said = exec(program, "predict", file, "--out", out, "--format", "roi,csv", "--diameter", diameter, "--quiet", "--remove-edge");
else
    said = exec(program, "predict", file, "--out", out, "--format", "roi,csv", "--diameter", diameter, "--quiet");
rois = out + File.separator + "image.rois.zip";
table = out + File.separator + "image.nuclei.csv";
if (!File.exists(table)) {
    removeAll(folder);
    exit("unet failed (" + program + "): " + said);
}
Table.open(table);
Table.rename("image.nuclei.csv", "Nuclei of " + image);
nuclei = Table.size;
roiManager("reset");
if (nuclei > 0) { // the ROI Manager refuses an empty archive
    roiManager("open", rois);
    if (options == "") roiManager("show all");
}
print("unet: " + nuclei + " nuclei in " + image);
removeAll(folder);

// removeAll deletes a folder, whose name ends with a separator, if it is there.
function removeAll(folder) {
    if (!File.exists(folder)) return;
    names = getFileList(folder);
    for (i = 0; i < names.length; i++) {
        if (endsWith(names[i], "/")) removeAll(folder + names[i]);
        else done = File.delete(folder + names[i]);
    }
    done = File.delete(folder + ".unet-files"); // getFileList leaves it out
    done = File.delete(folder);
}

// valueOf is the value of key in "unet=1 edge=2". It ends where the next key
// begins, not at a space, which a path may hold.
function valueOf(text, key, missing) {
    text = " " + text;
    from = indexOf(text, " " + key + "=");
    if (from < 0) return missing;
    from += lengthOf(key) + 2;
    to = lengthOf(text);
    keys = newArray("unet", "diameter", "edge");
    for (i = 0; i < keys.length; i++) {
        next = indexOf(text, " " + keys[i] + "=", from - 1);
        if (next >= 0 && next < to) to = next;
    }
    while (to > from && substring(text, to - 1, to) == " ") to--;
    return substring(text, from, to);
}
