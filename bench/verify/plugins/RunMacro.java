import ij.IJ;
import ij.ImageJ;
import ij.ImagePlus;
import ij.measure.ResultsTable;
import ij.plugin.frame.RoiManager;
import java.awt.Dialog;
import java.awt.Window;

/** Opens an image in ImageJ, runs a macro on it, and says what the ROI Manager and the table hold. */
public class RunMacro {
    public static void main(String[] args) {
        System.out.println("ImageJ " + IJ.getVersion() + ", Java " + System.getProperty("java.version"));
        new ImageJ(ImageJ.NO_SHOW);
        ImagePlus image = IJ.openImage(args[0]);
        image.show();
        closeDialogs();
        String error = IJ.runMacroFile(args[1], args[2]);
        RoiManager regions = RoiManager.getInstance();
        ResultsTable table = ResultsTable.getResultsTable("Nuclei of " + image.getTitle());
        if (regions == null || table == null) {
            System.out.println("no regions or no table: " + error);
            System.exit(1);
        }
        System.out.println(IJ.getLog());
        System.out.println(regions.getCount() + " regions and " + table.size() + " rows");
        System.exit(0);
    }

    /** Closes the messages of a macro that fails: nobody is there to do it. */
    static void closeDialogs() {
        Thread thread = new Thread(() -> {
            while (true) {
                for (Window w : Window.getWindows())
                    if (w instanceof Dialog && w.isShowing()) {
                        System.out.println("a dialog: " + ((Dialog) w).getTitle());
                        w.dispose();
                    }
                IJ.wait(200);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }
}
