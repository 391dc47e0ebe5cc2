import ij.IJ;
import ij.ImagePlus;
import ij.gui.Roi;
import ij.io.FileSaver;
import ij.io.RoiDecoder;
import ij.process.ImageProcessor;
import java.io.FileInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * Fills every region of an ROI archive with the number that is its name, with ImageJ 1.x; see
 * bench/verify/consumers.
 *
 * java -Djava.awt.headless=true -cp ij.jar DrawRois.java ROIS.zip WIDTH HEIGHT OUT.tif
 */
class DrawRois {
    public static void main(String[] args) throws Exception {
        ImagePlus image = IJ.createImage("labels", "16-bit black", Integer.parseInt(args[1]), Integer.parseInt(args[2]), 1);
        ImageProcessor ip = image.getProcessor();
        try (ZipInputStream zip = new ZipInputStream(new FileInputStream(args[0]))) {
            for (ZipEntry e; (e = zip.getNextEntry()) != null; ) {
                Roi roi = new RoiDecoder(zip.readAllBytes(), e.getName()).getRoi();
                ip.setValue(Integer.parseInt(roi.getName()));
                ip.fill(roi);
            }
        }
        if (!new FileSaver(image).saveAsTiff(args[3])) System.exit(1);
    }
}
