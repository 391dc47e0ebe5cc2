import ij.IJ;
import ij.ImagePlus;
import ij.gui.Roi;
import ij.io.FileSaver;
import ij.io.RoiDecoder;
import ij.process.ImageProcessor;
import java.io.File;

/**
 * Fills every region in a folder of .roi files with the number that is its name, with ImageJ 1.x.
 *
 * java -Djava.awt.headless=true -cp ij.jar DrawRois.java FOLDER WIDTH HEIGHT OUT.tif
 */
class DrawRois {
    public static void main(String[] args) throws Exception {
        File dir = new File(args[0]);
        ImagePlus image = IJ.createImage("labels", "16-bit black", Integer.parseInt(args[1]), Integer.parseInt(args[2]), 1);
        ImageProcessor ip = image.getProcessor();
        for (File f : dir.listFiles((d, name) -> name.endsWith(".roi"))) {
            Roi roi = new RoiDecoder(f.getPath()).getRoi();
            ip.setValue(Integer.parseInt(roi.getName()));
            ip.fill(roi);
        }
        new FileSaver(image).saveAsTiff(args[3]);
    }
}
